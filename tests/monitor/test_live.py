"""The monitor among real parts: what changes there is in its state."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from .rig import Fep, Loop, Network, speaking, wait_for
from .stack import INFO, INTERVAL, NODE, Monitor, http

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Stage


def test_services_come_count_and_go(stage: Stage) -> None:
    """A registered instance gets a row with its own count, follows it, and leaves when it is deregistered."""
    monitor = stage.watch()
    one, two = stage.launch(), stage.launch()
    one.connections, two.connections = 3, 4
    stage.cluster.add(one, two)
    monitor.wait("total", equals={"connections": 7, "answering": 2, "instances": 2})
    two.connections = 40
    monitor.wait("instances", "fep.2", "connections", equals=40)
    stage.cluster.remove("fep.1")
    monitor.wait("total", equals={"connections": 40, "answering": 1, "instances": 1})
    assert "fep.1 left" in monitor.texts()


def test_curl_and_prometheus_get_the_numbers(stage: Stage) -> None:
    """Plain text has a line an instance, as people count; metrics have a sample for each that answers."""
    dead, two, ten = stage.launch(), stage.launch(), stage.launch()
    two.connections, ten.connections = 7, 3
    for name, fep in (("fep.10", ten), ("fep.2", two), ("fep.1", dead)):
        stage.cluster.register(name, fep.echo_port, fep.info_port)
    dead.stop()
    monitor = stage.watch()
    wait_for(lambda: http(monitor.url)[2] == "fep.1 unreachable\nfep.2 7\nfep.10 3\n")
    families = text_string_to_metric_families(http(f"{monitor.url}/metrics")[2])
    samples = [s for family in families for s in family.samples if s.name == "monitor_instance_connections"]
    assert {(s.labels["instance"], s.value) for s in samples} == {("fep.2", 7), ("fep.10", 3)}


def test_a_failing_check_is_shown(stage: Stage) -> None:
    """An instance that Consul calls critical stays in sight, with that word."""
    monitor = stage.watch()
    fep = stage.launch()
    stage.cluster.add(fep)
    monitor.wait("instances", "fep.1", "checks", equals={"echo": "passing", "info": "passing"})
    stage.cluster.register("fep.1", fep.echo_port, fep.info_port, check="critical")
    monitor.wait("instances", "fep.1", "checks", equals={"echo": "critical", "info": "critical"})
    monitor.wait("instances", "fep.1", "connections", equals=0)


async def never(_: web.Request) -> web.StreamResponse:
    """Not answer."""
    await asyncio.sleep(3600)
    raise AssertionError


async def drip(request: web.Request) -> web.StreamResponse:
    """Answer a digit now and then."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(1000):
        await response.write(b"1")
        await asyncio.sleep(INTERVAL / 4)
    return response


async def huge(request: web.Request) -> web.StreamResponse:
    """Answer digits without end."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"1" * 65536)


async def rubbish(_: web.Request) -> web.StreamResponse:
    """Answer a page."""
    return web.Response(text="<script>alert(1)</script>")


async def packed(_: web.Request) -> web.StreamResponse:
    """Answer packed, without being asked to."""
    return web.Response(body=gzip.compress(b"7"), headers={"Content-Encoding": "gzip"})


async def broken(_: web.Request) -> web.StreamResponse:
    """Answer that it is broken."""
    return web.Response(status=500, text="7")


def test_bad_answers_are_unreachable(stage: Stage) -> None:
    """Who answers rubbish, too much or never is unreachable, with the reason, and has no count."""
    reasons = {
        never: "no answer within",
        drip: "no answer within",
        huge: "answered more than 64 bytes",
        rubbish: "answered b'<script>alert(1)</sc', not a number of connections",
        packed: "not a number of connections",
        broken: "answered status 500",
    }
    stage.cluster.add(*map(stage.launch, reasons))
    monitor = stage.watch()
    for number, reason in enumerate(reasons.values(), start=1):
        monitor.wait("instances", f"fep.{number}", "status", equals="unreachable")
        instance = monitor.state()["instances"][f"fep.{number}"]
        assert reason in instance["error"]
        assert "connections" not in instance


async def end_of_stream(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Say nothing and hang up."""
    writer.close()


async def echo(asked: bytes, writer: asyncio.StreamWriter) -> None:
    """Send back the question, as the echo service would."""
    writer.write(asked)


async def too_short(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Break off in the middle of the body."""
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n7")
    writer.close()


async def wait_on(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Ask for patience without end."""
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()


async def headers(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Send headers without end."""
    writer.write(b"HTTP/1.0 200 OK\r\n")
    while True:
        writer.write(b"X: " + b"x" * 4000 + b"\r\n")
        await writer.drain()


def test_what_is_not_http_is_unreachable(stage: Stage, loop: Loop) -> None:
    """Who speaks no HTTP, breaks off, or has headers without end is unreachable; the others count on."""
    good = stage.launch()
    stage.cluster.add(good)
    for talk in (end_of_stream, echo, too_short, wait_on, headers):
        port = stage.cleanup.enter_context(speaking(loop, talk))
        stage.cluster.register(talk.__name__, port, port)
    monitor = stage.watch()
    for talk in (end_of_stream, echo, too_short, wait_on, headers):
        monitor.wait("instances", talk.__name__, "status", equals="unreachable")
        assert "connections" not in monitor.state()["instances"][talk.__name__]
    asked = good.asked
    wait_for(lambda: good.asked >= asked + 6, within=8 * INTERVAL)
    monitor.wait("total", equals={"connections": 0, "answering": 1, "instances": 6})


def test_bad_instances_delay_nobody(stage: Stage) -> None:
    """Beside twenty instances that never answer, a good one is asked once an interval all the same."""
    good = stage.launch()
    stage.cluster.add(good, *(stage.launch(never) for _ in range(20)))
    monitor = stage.watch()
    monitor.wait("total", equals={"connections": 0, "answering": 1, "instances": 21})
    wait_for(lambda: all(i["status"] != "waiting" for i in monitor.state()["instances"].values()))
    asked = good.asked
    wait_for(lambda: good.asked >= asked + 6, within=8 * INTERVAL)


def test_a_redirect_is_not_followed(stage: Stage) -> None:
    """No instance can make the monitor call an address that Consul did not give."""
    victim = stage.launch()

    async def redirect(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"http://127.0.0.1:{victim.info_port}/conns")

    stage.cluster.add(stage.launch(redirect))
    monitor = stage.watch()
    monitor.wait("instances", "fep.2", "error", equals="answered status 302")
    assert victim.asked == 0


def test_no_request_makes_the_monitor_ask(stage: Stage) -> None:
    """Whatever a request names in path, query, host or headers, the monitor calls nobody for it."""
    victim = stage.launch()
    monitor = stage.watch()
    at = f"127.0.0.1:{victim.info_port}"
    for path in ("", "events/../conns", f"http://{at}/conns", f"?url=http://{at}/conns", f"//{at}/conns"):
        http(f"{monitor.url}/{path}", Host=at, Referer=f"http://{at}/")
    assert victim.asked == 0


def test_strange_addresses_harm_nobody(stage: Stage) -> None:
    """An address in Consul that is none is unreachable; the other instances go on."""
    stage.cluster.add(stage.launch())
    names = ["127.0.0.1/evil?", "a b", "\u0000", "x" * 300, "127.0.0.1:1", "u@127.0.0.1", "-", "é" * 70]
    strange = [*((name, 1) for name in names), *(("127.0.0.1", port) for port in (0, -1, 2**16, 2**40))]
    for number, (address, port) in enumerate(strange):
        service = {"ID": f"strange{number}", "Service": INFO, "Address": address, "Port": port}
        body = {"Node": NODE, "Address": "127.0.0.1", "Service": service}
        stage.cluster.leader().call("/catalog/register", body)
    monitor = stage.watch()
    for number in range(len(strange)):
        monitor.wait("instances", f"strange{number}", "status", equals="unreachable")
    for number in range(len(names), len(strange)):
        assert monitor.state()["instances"][f"strange{number}"]["error"] == "has no usable port"
    monitor.wait("instances", "fep.1", "status", equals="ok")


def test_a_dead_instance_comes_back(stage: Stage) -> None:
    """An instance that falls silent is unreachable and keeps its last count beside; its answer ends that."""
    fep = stage.launch()
    fep.connections = 5
    stage.cluster.add(fep)
    monitor = stage.watch()
    monitor.wait("instances", "fep.1", "connections", equals=5)
    well, fep.answer = fep.answer, never
    monitor.wait("instances", "fep.1", "status", equals="unreachable")
    assert monitor.state()["instances"]["fep.1"]["connections"] == 5
    assert monitor.state()["total"]["connections"] == 0
    fep.answer = well
    monitor.wait("instances", "fep.1", "status", equals="ok")


def test_a_frozen_agent_is_left(stage: Stage) -> None:
    """An agent that accepts questions and never answers does not hide what the others know."""
    monitor = stage.watch()
    for agent in stage.cluster.agents:
        monitor.wait("hosts", agent.name, "agent", equals="ok")
    frozen = stage.cluster.agents[0]
    frozen.freeze()
    monitor.wait("hosts", frozen.name, "agent", equals="unreachable")
    stage.cluster.add(stage.launch())
    monitor.wait("instances", "fep.1", "connections", equals=0)


def test_the_cluster_is_asked_often(network: Network, loop: Loop, tmp_path: Path) -> None:
    """Who leads, who is there and who votes is asked several times an interval: a change is soon seen."""
    asked: Counter[str] = Counter()

    async def count(request: web.Request) -> web.StreamResponse:
        asked[request.path] += 1
        raise web.HTTPServiceUnavailable

    paths = ("/v1/status/leader", "/v1/agent/members", "/v1/operator/raft/configuration")
    with ExitStack() as cleanup:
        agent = Fep("agent", loop, count)
        cleanup.callback(agent.stop)
        cleanup.callback(Monitor(tmp_path, network, [f"127.0.0.1:{agent.info_port}"]).stop)
        before = asked.copy()
        wait_for(lambda: min(asked[path] - before[path] for path in paths) >= 8, within=5 * INTERVAL)


@pytest.mark.parametrize(
    ("index", "body", "reason"),
    [
        ("", "[]", "this is not Consul"),
        ("9" * 5000, "[]", "this is not Consul"),
        ("7", "<html>", "not JSON"),
        ("7", "[" * 100_000, "not JSON"),
        ("7", "{}", "the list of services is not a list"),
        ("7", "[7]", "an entry is not a dict"),
    ],
)
def test_rubbish_from_consul_is_a_problem(  # noqa: PLR0913, PLR0917 - three fixtures
    network: Network, loop: Loop, tmp_path: Path, index: str, body: str, reason: str
) -> None:
    """Whatever answers in the place of Consul, the monitor says what is wrong with it, and runs on."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=body, headers={"X-Consul-Index": index})

    with ExitStack() as cleanup:
        agent = Fep("agent", loop, answer)
        cleanup.callback(agent.stop)
        monitor = Monitor(tmp_path, network, [f"127.0.0.1:{agent.info_port}"])
        cleanup.callback(monitor.stop)
        wait_for(lambda: reason in monitor.state()["problems"][f"Consul's service {INFO}"]["error"])
        tick = monitor.state()["tick"]
        wait_for(lambda: monitor.state()["tick"] > tick + 1)


def test_consul_lost_and_found(stage: Stage) -> None:
    """Without any agent the last known services stay and are still asked; then Consul is back."""
    fep = stage.launch()
    stage.cluster.add(fep)
    monitor = stage.watch()
    monitor.wait("instances", "fep.1", "connections", equals=0)
    stage.cluster.stop()
    monitor.wait("consul", "status", equals="unreachable")
    fep.connections = 6
    monitor.wait("instances", "fep.1", "connections", equals=6)
    stage.cluster.heal()
    monitor.wait("consul", "status", equals="ok")
    monitor.wait("problems", equals={})
    texts = monitor.texts()
    assert texts.index("Consul is lost: none of its agents answers") < texts.index("Consul is back")
    assert "fep.1 left" not in texts


def test_haproxys_reloads_are_counted(stage: Stage) -> None:
    """Each reload counts once; a restart is none; the sessions of each server are shown."""
    feps = [stage.launch(), stage.launch()]
    stage.cluster.add(*feps)
    haproxy = stage.balance(*feps)
    monitor = stage.watch(f"--haproxy={haproxy.url}")
    for reloads in (0, 1, 2):
        monitor.wait("haproxy", "reloads", equals=reloads)
        monitor.wait("haproxy", "status", equals="ok")
        haproxy.reload()
    monitor.wait("haproxy", "reloads", equals=3)
    monitor.wait("instances", "fep.2", "haproxy", equals={"sessions": 0, "total": 0, "status": "UP"})
    haproxy.stop()
    monitor.wait("haproxy", "status", equals="unreachable")
    haproxy.start()
    monitor.wait("haproxy", "status", equals="ok")
    assert monitor.state()["haproxy"]["reloads"] == 3
    assert monitor.texts()[-1] == "HAProxy restarted"
