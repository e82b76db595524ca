"""The plan: whatever Docker and the agent hold, it leads from one to the other and touches nothing else."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from images.registrator.registrator.options import Options
from images.registrator.registrator.plan import (
    COMPARED,
    Operation,
    Registered,
    legacy,
    main_check,
    mine,
    own_check,
    plan,
    same_place,
)
from images.registrator.registrator.services import Container, Desired, Host, Port, desired
from tests.registrator.strategies import AGENTS, CONTAINERS, OPTIONS

HOST = Host("vm", "192.0.2.1")
Agent = dict[str, Registered]


def after(agent: Agent, operation: Operation) -> Agent:
    """Return what an agent holds after an operation: a status survives a new registration, as in Consul."""
    service = operation.service
    if service is None:
        return {key: there for key, there in agent.items() if key != operation.id}
    old = agent[service.id].checks if service.id in agent else {}
    if operation.kind == "register":
        wanted = {main_check(service.id): "critical"} if service.check else {}
        wanted |= {own_check(service.id): service.state} if service.state else {}
        checks = {key: old.get(key, status) for key, status in wanted.items()}
    elif operation.kind == "check":
        checks = {**old, own_check(service.id): service.state}
    else:
        checks = {key: status for key, status in old.items() if key != own_check(service.id)}
    fields = {name: getattr(service, name) for name in COMPARED}
    return {**agent, service.id: Registered(id=service.id, checks=checks, **fields)}


def settled(wanted: Desired, agent: Agent, *, cleanup: bool) -> Agent:
    """Return what the agent holds after two rounds, which are to be enough."""
    for _ in range(2):
        for operation in plan(wanted, agent, "vm", cleanup=cleanup).operations:
            agent = after(agent, operation)
    return agent


@given(CONTAINERS, OPTIONS, AGENTS, st.booleans())
def test_it_converges(containers: list[Container], options: Options, agent: Agent, cleanup: bool) -> None:
    """After two rounds nothing is left to write, whatever the agent held before."""
    wanted = desired(containers, options, HOST)

    assert plan(wanted, settled(wanted, agent, cleanup=cleanup), "vm", cleanup=cleanup).operations == ()


@given(CONTAINERS, OPTIONS, AGENTS, st.booleans())
def test_the_agent_holds_what_is_desired(
    containers: list[Container], options: Options, agent: Agent, cleanup: bool
) -> None:
    """In the end each desired service is there, unless its ID is somebody else's, which is told."""
    wanted = desired(containers, options, HOST)
    end = settled(wanted, agent, cleanup=cleanup)
    conflicts = {remark.split()[1] for remark in plan(wanted, end, "vm").remarks}

    for service in wanted.services.values():
        if service.id not in conflicts:
            assert all(getattr(end[service.id], name) == getattr(service, name) for name in COMPARED)
            assert (main_check(service.id) in end[service.id].checks) == bool(service.check)
            assert end[service.id].checks.get(own_check(service.id), "") == service.state


@given(CONTAINERS, OPTIONS, AGENTS, st.booleans())
def test_only_its_own_is_removed(
    containers: list[Container], options: Options, agent: Agent, cleanup: bool
) -> None:
    """What is neither ours nor, with -cleanup, the original's, stays exactly as it was."""
    wanted = desired(containers, options, HOST)
    end = settled(wanted, agent, cleanup=cleanup)

    for key, there in agent.items():
        taken_over = key in wanted.services and (
            legacy(there, "vm") or same_place(wanted.services[key], there)
        )
        if not mine(there, "vm") and not taken_over and not (cleanup and legacy(there, "vm")):
            assert end[key] == there


@given(CONTAINERS, OPTIONS, AGENTS)
def test_nothing_of_ours_is_left_over(containers: list[Container], options: Options, agent: Agent) -> None:
    """In the end whatever bears this host's mark is desired, or belongs to a container that is kept."""
    wanted = desired(containers, options, HOST)
    kept = {key[:12] for key in wanted.kept}

    for key, there in settled(wanted, agent, cleanup=False).items():
        assert (
            not mine(there, "vm") or key in wanted.services or there.meta.get("registrator-container") in kept
        )


@given(CONTAINERS, OPTIONS, AGENTS)
def test_one_write_a_service_and_removals_first(
    containers: list[Container], options: Options, agent: Agent
) -> None:
    """A plan writes each service once at most, and removes before it registers."""
    operations = plan(desired(containers, options, HOST), agent, "vm").operations

    assert len({operation.id for operation in operations}) == len(operations)
    kinds = [operation.kind == "deregister" for operation in operations]
    assert kinds == sorted(kinds, reverse=True)


def test_the_reason_names_the_difference() -> None:
    """An operation says what differs."""
    web = Container("1" * 64, "web", "web", ports=(Port(80, "tcp", "0.0.0.0", 80),))
    wanted = desired([web], Options(), HOST)
    there = settled(wanted, {}, cleanup=False)["vm:web:80"]

    def reasons(changed: Registered) -> list[str]:
        return [operation.reason for operation in plan(wanted, {changed.id: changed}, "vm").operations]

    assert reasons(there) == []
    assert reasons(replace(there, port=81, tags=("x",))) == ["port,tags"]
    assert reasons(replace(there, checks={main_check(there.id): "passing"})) == ["check"]
    assert reasons(replace(there, checks={own_check(there.id): "passing"})) == ["passing->none"]
    assert reasons(replace(there, id="vm:old:80")) == ["gone", "missing"]


def test_a_changed_check_shows_in_the_mark() -> None:
    """The agent does not tell a check's definition; that it has changed is seen by the mark."""
    web = Container("1" * 64, "web", "web", ("SERVICE_CHECK_TCP=1",), ports=(Port(80, "tcp", "0.0.0.0", 80),))
    agent = settled(desired([web], Options(), HOST), {}, cleanup=False)
    slower = replace(web, environment=("SERVICE_CHECK_TCP=1", "SERVICE_CHECK_INTERVAL=60s"))

    operations = plan(desired([slower], Options(), HOST), agent, "vm").operations

    assert [operation.reason for operation in operations] == ["meta"]
