"""The operator's commands of the original demo answer for themselves."""

import pytest

from lab.hosts import Node

COMMANDS = ("consul", "registrator", "launch", "remove", "haproxy", "query")
WRONG_WORDS = {
    "consul": ("start",),
    "registrator": ("now",),
    "launch": ("-1",),
    "remove": ("no.such",),
    "haproxy": ("now",),
    "query": ("two", "services"),
}
WRONG_HOST = {
    "consul": ("restart", "server"),
    "registrator": (),
    "launch": (),
    "remove": (),
    "haproxy": (),
    "query": (),
}


@pytest.mark.role("docker")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_teaches_itself(node: Node, command: str) -> None:
    """`-h` prints how to type the command, and its exit codes."""
    said = "\n".join(node.script(command, "-h"))

    assert f"scripts/{command}.sh" in said
    assert "Exit codes: 0" in said


@pytest.mark.role("docker", "lb")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_word_is_refused(node: Node, command: str) -> None:
    """A wrong word, or the wrong host for the command, ends with exit code 2 and the way to the help."""
    result = node.shell.run(f"scripts/{command}.sh {' '.join(WRONG_WORDS[command])}")

    assert result.rc == 2
    assert result.stderr.startswith(f"{command}.sh: ")
    assert f"try: scripts/{command}.sh -h" in result.stderr


@pytest.mark.role("client")
@pytest.mark.parametrize("command", COMMANDS)
def test_the_wrong_host_is_refused(node: Node, command: str) -> None:
    """A command typed where its part does not run says where it belongs."""
    result = node.shell.run(f"scripts/{command}.sh {' '.join(WRONG_HOST[command])}")

    assert result.rc == 2
    assert node.name in result.stderr
