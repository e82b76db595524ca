# The load balancer.

. ./engine.sh
reuse_ports
image haproxy
scripts/haproxy.sh
