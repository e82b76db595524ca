"""Hypothesis strategies: options, containers, and what an agent may hold."""

from __future__ import annotations

from hypothesis import strategies as st

from images.registrator.registrator.options import Options
from images.registrator.registrator.plan import Registered, main_check, own_check
from images.registrator.registrator.services import MARK_CONTAINER, MARK_HOST, Container, Port

OPTIONS = st.builds(
    Options,
    ip=st.sampled_from(["", "192.0.2.3"]),
    internal=st.booleans(),
    explicit=st.booleans(),
    tags=st.sampled_from(["", "a,b"]),
    docker_checks=st.booleans(),
)
PORT = st.builds(
    Port,
    number=st.integers(1, 4),
    protocol=st.sampled_from(["tcp", "udp"]),
    host_ip=st.sampled_from(["", "0.0.0.0", "::", "127.0.0.1", "192.0.2.4"]),
    host_port=st.sampled_from([0, 8001, 8002]),
)
ENVIRONMENT = st.lists(
    st.sampled_from([
        "SERVICE_NAME=a", "SERVICE_1_NAME=b", "SERVICE_TAGS=x,y", "SERVICE_2_IGNORE=1", "SERVICE_ID=own",
        "SERVICE_IP=192.0.2.9",
        "SERVICE_CHECK_TCP=1", "SERVICE_CHECK_TTL=5s", "SERVICE_CHECK_SCRIPT='", "SERVICE_REGION=eu",
    ]),
    max_size=4,
).map(tuple)  # fmt: skip


@st.composite
def containers(draw: st.DrawFn) -> list[Container]:
    """Return up to five containers, each with an ID and a name of its own."""
    count = draw(st.integers(0, 5))
    ids = [f"{number:x}".rjust(12, "f").ljust(64, "0") for number in range(count)]
    networks = st.sampled_from(["default", "host", "net", "none", *(f"container:{key}" for key in ids)])
    addresses = st.sampled_from([{}, {"bridge": "172.17.0.2"}, {"net": "172.18.0.2"}])
    unique = st.lists(PORT, max_size=3, unique_by=lambda port: (port.number, port.protocol)).map(tuple)
    return [
        draw(
            st.builds(
                Container,
                id=st.just(key),
                name=st.just(f"c{key[11]}"),
                image=st.sampled_from(["web", "h:1/web:2"]),
                environment=ENVIRONMENT,
                ports=unique,
                network=networks,
                addresses=addresses,
                state=st.sampled_from(["running", "running", "paused", "failed", "unknown"]),
                health=st.sampled_from(["", "starting", "healthy", "unhealthy"]),
            )
        )
        for key in ids
    ]


CONTAINERS = containers()
MARKS = st.sampled_from(
    [{}, {MARK_HOST: "vm", MARK_CONTAINER: "fffffffffff0"}, {MARK_HOST: "other"}, {MARK_HOST: "vm"}]
)
IDS = st.sampled_from(["own", "vm:c0:1", "vm:c1:2:udp", "vm:gone:1", "other:c0:1", "consul", "db"])
STATUS = st.sampled_from(["passing", "critical"])


@st.composite
def agents(draw: st.DrawFn) -> dict[str, Registered]:
    """Return what an agent may hold: ours, the original's, other hosts' and other people's services."""
    found = {}
    for key in draw(st.lists(IDS, unique=True)):
        checks = draw(st.dictionaries(st.sampled_from([main_check(key), own_check(key)]), STATUS))
        name, port = draw(st.sampled_from(["a", "web"])), draw(st.sampled_from([1, 8001]))
        found[key] = Registered(
            key, name, draw(st.sampled_from(["192.0.2.1", ""])), port, (), draw(MARKS), checks
        )
    return found


AGENTS = agents()
