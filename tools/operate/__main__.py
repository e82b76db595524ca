"""The command tools/lab."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab import fence, ownership, shell, topology
from lab.doctor import Finding, examine, visit
from lab.errors import LabError
from lab.faults import heal
from lab.hosts import Lab, Node, match
from lab.machines import Machines
from lab.peers import PeersError
from lab.recovery import Recovery
from lab.report import Outcome
from lab.topology import ROOT, Topology
from lab.waiting import Unmet
from tools.operate import bench
from tools.operate.repeat import repeat


def up(facts: Topology, _: argparse.Namespace) -> int:
    """Bring all hosts up and to their roles, whatever state they are in."""
    wrong = [finding for finding in examine(facts) if not finding.ok and finding.fatal]
    if wrong:
        show(wrong)
        return 1
    stray = ownership.running(facts).keys() - set(ownership.containers(facts))
    # Nothing reaches hosts that outlived their folder or their namespace: they start again.
    ownership.stop(facts, stray if fence.exists(facts) else ownership.running(facts))
    ownership.remove(facts, ownership.orphans(facts))
    ownership.claim()
    Machines().up()
    return 0


def down(facts: Topology, _: argparse.Namespace) -> int:
    """Remove all hosts and the fence."""
    if Machines.made():
        Machines().destroy()
    ownership.remove(facts, [*ownership.containers(facts), *ownership.running(facts)])
    ownership.release()
    subprocess.run([fence.SCRIPT, facts.network.namespace, "--remove"], check=True)
    return 0


def clean(facts: Topology, options: argparse.Namespace) -> int:
    """Remove the hosts, the fence, the box and what was unpacked of it; builds stay in the cache."""
    down(facts, options)
    subprocess.run(["vagrant", "box", "remove", "--force", "--all", facts.box.name], check=False)
    subprocess.run(["sudo", "rm", "-rf", str(ownership.MARK.parent)], check=True)
    return 0


def doctor(facts: Topology, _: argparse.Namespace) -> int:
    """Ask every precondition and, if it is up, the lab's servers; print question, answer and remedy."""
    findings = examine(facts)
    if Machines.made() and ownership.running(facts):
        try:
            findings += visit(lab_of(facts, facts.hosts, Machines().ssh_config()))
        except LabError as error:
            findings.append(Finding("servers?", "could not be asked", str(error), fatal=False))
    show(findings)
    return int(any(not finding.ok and finding.fatal for finding in findings))


def show(findings: list[Finding]) -> None:
    """Print findings, a line each and one for the remedy."""
    for finding in findings:
        mark = "ok  " if finding.ok else "BAD " if finding.fatal else "note"
        print(f"{mark} {finding.question} {finding.answer}")
        if finding.remedy:
            print(f"       -> {finding.remedy}")


def gate(facts: Topology, options: argparse.Namespace) -> int:
    """Run the suites on the running lab, in a new order each time; write the reports."""
    folder = ROOT / "runs" / datetime.now(tz=UTC).strftime("%Y%m%d-%H%M%S")
    reports = [
        f"--run-folder={folder}",
        f"--html={folder}/report.html",
        "--self-contained-html",
        f"--junit-xml={folder}/junit.xml",
    ]
    words = [sys.executable, "-m", "pytest", "suites/", *reports, *options.words]
    own = any(word.partition("=")[0] == "--hosts" for word in options.words)
    code = patiently(words if own else fence.command(facts, *words))
    print(f"report: {ROOT}/runs/latest/ (verdict.json, report.html, junit.xml)")
    print("look around: vagrant ssh lb | vagrant ssh docker | scripts/query.sh there; end it: make down")
    return code


def patiently(words: list[str]) -> int:
    """Run a command and return its exit code; Ctrl-C is for the command, which heals before it ends."""
    # A handler of our own, as what is ignored here would be ignored there, too.
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        return subprocess.run(words, cwd=ROOT, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def again(facts: Topology, options: argparse.Namespace) -> int:
    """Run the gate several times; print each number's spread, and which tests did not come out alike."""

    def once() -> Path:
        verdict = ROOT / "runs/latest/verdict.json"
        before = verdict.resolve()
        gate(facts, options)
        if verdict.resolve() == before:
            raise LabError("the run left no verdict")
        return verdict

    return repeat(options.times, once)


def mend(facts: Topology, options: argparse.Namespace) -> int:
    """Bring the running lab, or hosts of your own, into the good state, whatever was done to it."""
    machines = None if options.hosts else Machines()
    specs = options.hosts.split(",") if options.hosts else facts.hosts
    config = options.ssh_config or (machines.ssh_config() if machines else None)
    for line in heal(lab_of(facts, specs, config), machines):
        print(line, flush=True)
    print("the lab is healthy")
    return 0


def recover(facts: Topology, options: argparse.Namespace) -> int:
    """Let the servers that survived found the cluster again, by peers.json: its majority is lost for good."""
    config = options.ssh_config or (Machines().ssh_config() if Machines.made() else None)
    wanted = options.servers.split(",") if options.servers else [it.name for it in facts.with_role("server")]
    lab = lab_of(facts, wanted, config)
    recovery = Recovery(lab, lab.servers, say=lambda line: print(line, flush=True))
    try:
        for unit in recovery.units:
            unit.node.reach()
        if options.dry_run:
            recovery.examine()
            print("nothing was changed; without --dry-run they are stopped, get this file, and are started")
        else:
            recovery.run()
            print("next: every other server starts with an empty data directory only, and joins as a new one")
    except PeersError as refusal:
        print(f"refused, and nothing was started:\n{refusal}", file=sys.stderr)
        return 1
    except Unmet as unmet:
        print(f"started, but: {unmet}\nlook into: journalctl --unit=consul", file=sys.stderr)
        return 1
    return 0


def lab_of(facts: Topology, specs: Iterable[str], config: Path | None) -> Lab:
    """Return the hosts of some host specifications; a name alone is that of SSH's configuration.

    Where only root may enter the fence, this command begins again as root.
    """
    if fence.barred(facts):
        again = fence.command(facts, sys.executable, "-m", "tools.operate", *sys.argv[1:])
        os.execvp(again[0], again)
    fence.enter(facts)
    shell.install(facts.deadlines.command)
    named = match(list(specs), facts)
    return Lab(facts, {name: Node(facts.hosts[name], spec, facts, config) for name, spec in named.items()})


def enter(facts: Topology, options: argparse.Namespace) -> int:
    """Run a command inside the fence."""
    command = fence.command(facts, *(options.words or [os.environ.get("SHELL", "/bin/sh")]))
    os.execvp(command[0], command)


def forward(facts: Topology, _: argparse.Namespace) -> int:
    """Offer the monitor's page on this machine's loopback until Ctrl-C."""
    port = facts.ports.monitor
    client = facts.with_role("client")[0].name
    proxy = (
        ["-o", f"ProxyCommand={shlex.join(fence.command(facts, 'nc', '%h', '%p'))}"]
        if fence.exists(facts)
        else []
    )
    local = f"127.0.0.1:{port}"
    words = ["ssh", "-F", str(Machines().ssh_config()), *proxy, "-o", "ExitOnForwardFailure=yes", "-N"]
    print(f"the monitor: http://{local}/   (Ctrl-C ends it)", flush=True)
    return subprocess.run([*words, "-L", f"{local}:127.0.0.1:{port}", client], check=False).returncode


def measure(facts: Topology, options: argparse.Namespace) -> int:
    """Time up, provision and destroy over several rounds."""
    down(facts, options)
    bench.run(options.rounds)
    return down(facts, options)


Command = Callable[[Topology, argparse.Namespace], int]
COMMANDS: dict[str, Command] = {
    "up": up,
    "down": down,
    "clean": clean,
    "doctor": doctor,
    "gate": gate,
    "heal": mend,
    "repeat": again,
    "recover": recover,
    "enter": enter,
    "forward": forward,
    "bench": measure,
}


# Each command's own options, as argparse takes them.
LOGIN = ("--ssh-config", {"metavar": "FILE", "type": Path, "help": "how to log into them"})
OPTIONS: dict[Command, list[tuple[str, dict[str, Any]]]] = {
    again: [("times", {"type": int, "help": "how often"})],
    enter: [("words", {"nargs": argparse.REMAINDER, "metavar": "WORD", "help": "a command"})],
    measure: [("--rounds", {"type": int, "default": 3, "help": "how often (3)"})],
    mend: [("--hosts", {"metavar": "HOST,...", "help": "hosts of your own, as pytest's --hosts"}), LOGIN],
    recover: [
        (
            "--servers",
            {"metavar": "HOST,...", "help": "those that survived, as pytest's --hosts; all by default"},
        ),
        ("--dry-run", {"action": "store_true", "help": "only say what is found and would be done"}),
        LOGIN,
    ],
}


def parse(words: list[str]) -> argparse.Namespace:
    """Return the command and its options; a gate's own are pytest's, and so anything."""
    parser = argparse.ArgumentParser(prog="tools/lab", description="Operate the lab.")
    parser.add_argument("--topology", metavar="FILE", help="facts that replace those of topology.yaml")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function in COMMANDS.items():
        said = (function.__doc__ or "").splitlines()[0]
        command = commands.add_parser(name, help=said, description=said)
        command.set_defaults(function=function)
        for option, how in OPTIONS.get(function, ()):
            command.add_argument(option, **how)
        if function in {gate, again}:
            command.usage = f"tools/lab {name}{' TIMES' if function is again else ''} [PYTEST'S OPTIONS ...]"
    options, rest = parser.parse_known_args(words)
    if options.function in {gate, again}:
        options.words = rest
    elif rest:
        parser.error(f"unknown words: {' '.join(rest)}")
    return options


def main() -> int:
    """Read the command line, run one command, and return its exit code: 10, "could not tell", if it failed.

    What `--topology` names holds for all that a command starts: Vagrant, the suites.
    """
    options = parse(sys.argv[1:])
    if options.topology:
        os.environ[topology.VARIABLE] = str(Path(options.topology).resolve())
    try:
        return int(options.function(topology.load(), options))
    except (LabError, topology.TopologyError) as error:
        print(f"tools/lab: {error}", file=sys.stderr)
    except subprocess.CalledProcessError as error:
        print(f"tools/lab: exit code {error.returncode}: {' '.join(map(str, error.cmd))}", file=sys.stderr)
    except KeyboardInterrupt:
        print(
            "tools/lab: interrupted; the next `make gate` or `make down` takes it from here", file=sys.stderr
        )
    return Outcome.UNKNOWN


if __name__ == "__main__":
    sys.exit(main())
