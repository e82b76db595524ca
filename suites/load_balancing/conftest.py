"""What the echo services say of themselves, and where HAProxy sends connections."""

from __future__ import annotations

from lab.fleet import Fleet
from lab.hosts import Lab

ONE_AFTER_ANOTHER = ("--churn", "--concurrency", "1")


def counts(lab: Lab, names: list[str], what: str) -> dict[str, int]:
    """Return what each service says of itself: `total` connections ever served, or `conns` open now.

    Raises CommandError when one of them does not answer, as before it listens.
    """
    base = lab.topology.ports.info_base
    urls = [f"http://{lab.docker.address}:{base + int(name.rpartition('.')[2])}/{what}" for name in names]
    said = lab.client.run("curl", "--silent", "--fail", "--fail-early", *urls).split()
    return dict(zip(names, map(int, said), strict=True))


def serving(fleet: Fleet) -> list[str]:
    """Return the names of all services that HAProxy has, once it has what Docker runs."""
    return sorted(instance.id.split(":")[1] for instance in fleet.settle())
