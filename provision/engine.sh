# A Consul client agent, the Docker engine, and registrator, which tells the one about the other.

MODE=client
. ./agent.sh

! template docker.json /etc/docker/daemon.json || ! systemctl is-active --quiet docker || systemctl restart docker
unit docker || true
image registrator
scripts/registrator.sh
