# The load balancer.

. ./engine.sh
image haproxy
scripts/haproxy.sh
