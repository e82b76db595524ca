"""The page shows what happens in the lab: services, connections, the leader, reloads, its own blindness."""

from collections.abc import Iterator
from functools import partial

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from lab.faults import Faults, Kill, PortCut
from lab.faults.network import Way
from lab.fleet import Fleet
from lab.hosts import Lab, Node
from lab.invariants import running
from lab.load import Load, front
from lab.trial import successor
from lab.waiting import lapse, wait_for

from .conftest import Picture

HELD = 200
SCENE = 2  # seconds of each scene of a demo: the chart has a point a second


def sequence(name: str) -> int:
    """Return the number by which services are sorted: fep.10 after fep.9."""
    return int(name.rpartition(".")[2])


def expect_rows(lab: Lab, page: Page, within: float) -> None:
    """Wait until the rows are exactly what Docker runs, in their order. Raises AssertionError."""
    names = sorted((instance.id.split(":")[1] for instance in running(lab)), key=sequence)
    seconds = within + lab.topology.deadlines.page
    expect(page.locator("#rows .name")).to_have_text(names, timeout=1000 * seconds)


def shown(figure: Locator) -> int:
    """Return a number on the page. Raises LookupError while there is none."""
    text = figure.text_content() or ""
    if not text.isdecimal():
        raise LookupError(f"no number: {text}")
    return int(text)


def counts(page: Page) -> dict[str, int]:
    """Return the connections in each row. Raises LookupError while one is unknown."""
    rows = page.locator("#rows tr").all()
    return {row.locator(".name").text_content() or "": shown(row.locator(".count")) for row in rows}


def expect_total(lab: Lab, page: Page, number: int, within: float) -> dict[str, int]:
    """Wait until the total and the sum of the rows are `number`; return the rows. Raises Unmet."""
    total = page.locator("#total")
    _, rows = wait_for(
        lambda: (shown(total), counts(page)),
        until=lambda seen: seen[0] == sum(seen[1].values()) == number,
        within=within + lab.topology.deadlines.page,
        what=f"a page with {number} connections",
    )
    return rows


def test_launched_services_get_rows(lab: Lab, fleet: Fleet, page: Page, picture: Picture) -> None:
    """Within the deadline of discovery the rows are what Docker runs; a removed service leaves them again."""
    names = fleet.launch(3)
    expect_rows(lab, page, lab.topology.deadlines.discovery)
    picture("rows-appeared")

    fleet.remove(names[1])
    expect_rows(lab, page, lab.topology.deadlines.removal)
    expect(page.locator("#events").get_by_text(f"{names[1]} left", exact=True)).to_be_visible()


def test_connections_add_up(lab: Lab, fleet: Fleet, page: Page, picture: Picture) -> None:
    """200 held connections are 200 in total and over the rows, also through a reload of HAProxy.

    A removed service takes its own with it, which is as many on the page as at the load client; who opens
    them anew is at the services that are left, and the total is 200 again.
    """
    limits = lab.topology.deadlines
    names = fleet.serve(4)
    expect_rows(lab, page, limits.discovery)
    before = shown(page.locator("#total"))
    target = front(lab)
    with Load(lab.client, target, "-c", str(HELD), seconds=90) as load:
        expect_total(lab, page, before + HELD, limits.connect)
        fleet.serve()
        expect_rows(lab, page, limits.discovery)
        expect(page.locator("#rows .number").last).to_have_text("0")
        rows = expect_total(lab, page, before + HELD, limits.discovery)
        picture("200-connections")
        fleet.remove(names[0])
        expect_rows(lab, page, limits.removal)
        left = before + HELD - rows[names[0]]
        stayed = expect_total(lab, page, left, limits.removal)
        picture("one-removed")
        fleet.settle()
        with Load(lab.client, target, "-c", str(rows[names[0]]), seconds=30) as again:
            moved = expect_total(lab, page, before + HELD, limits.connect)
            picture("moved")

    assert stayed == {name: number for name, number in rows.items() if name != names[0]}
    assert moved.keys() == stayed.keys()
    assert all(moved[name] >= stayed[name] for name in stayed)
    assert again.summary["lost"] == 0
    assert rows[names[0]] > 0
    assert load.summary["held"]["alive_at_end"] == left - before
    expect_total(lab, page, before, limits.connect)


def workers(lab: Lab) -> int:
    """Return how many workers HAProxy's master has started, in the words of its own log."""
    return lab.lb.run("sh", "-c", "docker logs haproxy 2>&1").count("New worker")


def seen_reloads(lab: Lab) -> int:
    """Wait until the monitor knows the present worker, and return how many reloads it has seen."""
    url = f"http://{lab.client.address}:{lab.topology.ports.monitor}/api/state"
    within = lab.topology.deadlines.reload
    present = lab.haproxy.worker()
    state = wait_for(
        lambda: requests.get(url, timeout=within).json()["haproxy"],
        until=lambda haproxy: haproxy["worker"] == present,
        within=within,
        what=f"a monitor that knows worker {present}",
    )
    return int(state["reloads"])


def test_reloads_are_counted(lab: Lab, fleet: Fleet, page: Page) -> None:
    """The page counts every worker that HAProxy's master starts, and names the one at work in its log."""
    limits = lab.topology.deadlines
    fleet.serve()
    begun, started = seen_reloads(lab), workers(lab)

    fleet.serve()
    fleet.serve()

    wait_for(
        lambda: (shown(page.locator("#reloads")) - begun, workers(lab) - started),
        until=lambda seen: seen[0] == seen[1] >= 2,
        within=limits.reload + limits.page,
        what="a page that counts as many reloads as HAProxy made, two or more",
    )
    newest = page.locator("#events li", has_text="HAProxy reloaded").first
    expect(newest).to_contain_text(f"handed over to {lab.haproxy.worker()}")


@pytest.fixture
def deposed(lab: Lab, undisturbed: None) -> Iterator[Node]:
    """The leader, whose agent the test may stop; it runs again at the end."""
    leader = lab.leader()
    yield leader
    leader.run("sudo", "systemctl", "start", "consul")


def test_a_new_leader_is_shown(lab: Lab, page: Page, deposed: Node, picture: Picture) -> None:
    """After the leader's end the page marks the server that the others follow, and the old one as down."""
    limits = lab.topology.deadlines
    leader = page.locator("#leader")
    expect(leader).to_have_text(deposed.name)
    others = {server.name: server for server in lab.servers if server is not deposed}

    deposed.run("sudo", "systemctl", "stop", "consul")

    new = wait_for(
        lambda: leader.text_content() or "",
        until=lambda name: name in others,
        within=limits.election + limits.page,
        what=f"a leader other than {deposed.name}",
    )
    followed = {server.agent.leader().partition(":")[0] for server in others.values()}
    assert followed == {others[new].address}
    expect(page.locator("#hosts .leads .host")).to_have_text(f"{new}★ leader")
    expect(page.locator("#hosts .down .host")).to_have_text(deposed.name)
    expect(page.locator("#events li", has_text="leader is now").first).to_contain_text(f"leader is now {new}")
    picture("new-leader")
    deposed.run("sudo", "systemctl", "start", "consul")
    expect(page.locator("#hosts .down")).to_have_count(0, timeout=1000 * limits.members)


@pytest.fixture
def begun_anew(lab: Lab, undisturbed: None) -> None:
    """The monitor has seen nothing yet."""
    lab.client.run("sudo", "systemctl", "restart", "monitor")
    url, within = f"http://{lab.client.address}:{lab.topology.ports.monitor}", lab.topology.deadlines.connect
    wait_for(lambda: requests.get(url, timeout=within).ok, within=within, what="the monitor, begun anew")


@pytest.mark.full
@pytest.mark.usefixtures("begun_anew")
def test_a_demo_is_shown(lab: Lab, fleet: Fleet, page: Page, faults: Faults, picture: Picture) -> None:
    """A whole demo, half a minute long: instances come and go, connections add up, the leader falls.

    The page follows each step. Its picture, `demo`, is the one of the README.
    """
    limits, target = lab.topology.deadlines, front(lab)
    names = fleet.serve(3)
    expect_rows(lab, page, limits.discovery)
    lapse(SCENE, "an empty page")
    with Load(lab.client, target, "-c", "120", seconds=180):
        expect_total(lab, page, 120, limits.connect)
        lapse(SCENE, "three instances with connections")
        fleet.serve(2)
        with Load(lab.client, target, "-c", "80", seconds=180):
            rows = expect_total(lab, page, 200, limits.connect)
            lapse(SCENE, "five instances")
            old = lab.leader()
            with faults.under(Kill(old)):
                new = successor(lab, old, limits.election)
                expect(page.locator("#leader")).to_have_text(new.name, timeout=1000 * limits.fault)
                lapse(SCENE, "another leader")
            fleet.remove(names[1])
            expect_total(lab, page, 200 - rows[names[1]], limits.removal)
            expect_rows(lab, page, limits.removal)
            with Load(lab.client, target, "-c", str(rows[names[1]]), seconds=30):
                expect_total(lab, page, 200, limits.connect)
                lapse(SCENE, "four instances with all connections")
                picture("demo")


def row(page: Page, name: str) -> Locator:
    """Return the row of a service."""
    return page.locator("#rows tr").filter(has=page.get_by_text(name, exact=True))


def test_a_silent_service_is_said(
    lab: Lab, fleet: Fleet, page: Page, faults: Faults, picture: Picture
) -> None:
    """A service that answers no more has no number, but since when; others go on; its answer ends that."""
    limits = lab.topology.deadlines
    quiet, *others = fleet.serve(3)
    expect_rows(lab, page, limits.discovery)
    state, count = row(page, quiet).locator(".state"), row(page, quiet).locator(".count")
    expect(state).to_have_text("✓ ok")
    port = lab.topology.ports.info_base + sequence(quiet)
    with faults.under(PortCut([Way(lab.client, lab.docker)], port, "tcp")):
        expect(state).to_have_text("✕ unreachable", timeout=1000 * (limits.fault + limits.page))
        expect(count).to_have_text("?")
        expect(row(page, quiet).locator(".detail")).to_contain_text("since ")
        for other in others:
            expect(row(page, other).locator(".state")).to_have_text("✓ ok")
        picture("silent-service")
        with Load(lab.client, front(lab), "-c", "30", seconds=30):
            wait_for(
                lambda: [shown(row(page, other).locator(".count")) for other in others],
                until=lambda seen: min(seen) > 0,
                within=limits.connect + limits.page,
                what="others that go on counting",
            )

    expect(state).to_have_text("✓ ok", timeout=1000 * (limits.connect + limits.page))
    expect(count).to_have_text("0")


def test_a_lost_consul_is_said(lab: Lab, fleet: Fleet, page: Page, faults: Faults, picture: Picture) -> None:
    """A monitor that cannot reach Consul says since when, keeps what it knew last, and finds it again."""
    limits = lab.topology.deadlines
    fleet.serve(2)
    expect_rows(lab, page, limits.discovery)
    ways = [Way(lab.client, server) for server in lab.servers]
    with faults.under(PortCut(ways, lab.topology.ports.consul_http, "tcp")):
        lost = page.locator(".banner.alarm")
        expect(lost).to_contain_text("Consul is lost since", timeout=1000 * (limits.fault + limits.page))
        expect(page.locator("#leader")).to_have_text("?")
        expect_rows(lab, page, 0)
        picture("consul-lost")

    expect(page.locator(".banner")).to_have_count(0, timeout=1000 * (limits.connect + limits.page))
    expect(page.locator("#leader")).to_have_text(lab.leader().name)


@pytest.fixture
def monitor(lab: Lab, undisturbed: None) -> Iterator[partial[str]]:
    """systemctl for the monitor's unit, which runs again at the end."""
    systemctl = partial(lab.client.run, "sudo", "systemctl")
    yield systemctl
    systemctl("kill", "--signal=CONT", "monitor")
    systemctl("start", "monitor")


def test_a_lost_monitor_is_said(lab: Lab, page: Page, monitor: partial[str], picture: Picture) -> None:
    """With the monitor stopped the page says since when it is blind; with it back the page is live."""
    live = page.locator("#live")
    expect(live).to_have_text("● live")

    monitor("stop", "monitor")
    expect(live).to_have_text("✕ disconnected")
    expect(page.locator(".banner.alarm")).to_contain_text("The monitor cannot be heard since")
    picture("disconnected")

    monitor("start", "monitor")
    expect(live).to_have_text("● live", timeout=1000 * lab.topology.deadlines.connect)
    expect(page.locator(".banner")).to_have_count(0)
    expect(page.locator("#leader")).to_have_text(lab.leader().name)
    picture("live-again")


def test_control_a_frozen_monitor_shows_no_new_row(
    lab: Lab, fleet: Fleet, page: Page, monitor: partial[str]
) -> None:
    """The test of rows can fail: while the monitor is frozen a launched service gets none in that time."""
    expect(page.locator("#live")).to_have_text("● live")
    monitor("kill", "--signal=STOP", "monitor")
    fleet.launch()

    with pytest.raises(AssertionError):
        expect_rows(lab, page, lab.topology.deadlines.discovery)
    monitor("kill", "--signal=CONT", "monitor")
    expect_rows(lab, page, lab.topology.deadlines.connect)
