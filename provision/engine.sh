# A Consul client agent, the Docker engine, and registrator, which tells the one about the other.

MODE=client
. ./agent.sh

! template docker.json /etc/docker/daemon.json || ! systemctl is-active --quiet docker || systemctl restart docker
unit docker || true
# live-restore leaves the containers to the host's shutdown: what does not heed SIGTERM would hold it for 90 s.
if content /etc/systemd/system.conf.d/shutdown.conf <<< "[Manager]"$'\n'"DefaultTimeoutStopSec=$DEMO_DEADLINES_STOP"; then
    systemctl daemon-reexec
fi
image registrator
scripts/registrator.sh
