"""The command line: what people of the original registrator type goes on working."""

from __future__ import annotations

import pytest

from images.registrator.registrator.__main__ import main
from images.registrator.registrator.options import Options, parse


def test_defaults() -> None:
    """Without flags the defaults are the original's, but for the retries of the first contact."""
    assert parse(["consul:"]) == Options(
        uri="consul:", deregister="always", retry_interval=2000, retry_attempts=-1
    )


@pytest.mark.parametrize(
    "words", [["-ip", "192.0.2.1"], ["--ip", "192.0.2.1"], ["-ip=192.0.2.1"], ["--ip=192.0.2.1"]]
)
def test_spellings(words: list[str]) -> None:
    """One dash and two, a blank and an equals sign mean the same."""
    assert parse([*words, "consul://localhost:8500"]).ip == "192.0.2.1"


def test_booleans() -> None:
    """A boolean flag takes no word of its own: what follows is the URI; =false switches it off."""
    options = parse(["-internal", "--cleanup=T", "-docker-checks=false", "consul:"])

    assert (options.internal, options.cleanup, options.docker_checks, options.uri) == (
        True,
        True,
        False,
        "consul:",
    )


def test_every_flag_of_the_original() -> None:
    """All flags of the original are taken, in its spelling."""
    line = (
        "-ip 192.0.2.1 -internal -explicit -useIpFromLabel net -tags a,b -ttl 30 -ttl-refresh 10 -resync 60"
    )
    line += " -cleanup -deregister on-success -retry-attempts -1 -retry-interval 500 consul://192.0.2.1:8500"

    assert parse(line.split()) == Options(
        uri="consul://192.0.2.1:8500",
        ip="192.0.2.1",
        internal=True,
        explicit=True,
        useIpFromLabel="net",
        tags="a,b",
        ttl=30,
        ttl_refresh=10,
        resync=60,
        cleanup=True,
        deregister="on-success",
        retry_attempts=-1,
        retry_interval=500,
    )


@pytest.mark.parametrize(
    "words",
    [[], ["consul:", "consul:"], ["-unknown", "consul:"], ["-resync", "soon", "consul:"],
     ["-internal=maybe", "consul:"]],
)  # fmt: skip
def test_wrong_lines(words: list[str]) -> None:
    """A line that cannot be read ends with exit code 2."""
    with pytest.raises(SystemExit) as end:
        parse(words)

    assert end.value.code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["etcd://192.0.2.1"],
            "unrecognized adapter: etcd://192.0.2.1: only consul, consul-unix, consul-tls",
        ),
        (["-ttl", "10", "consul:"], "-ttl and -ttl-refresh go together"),
        (["-ttl", "10", "-ttl-refresh", "10", "consul:"], "-ttl must be greater"),
        (["-retry-interval", "0", "consul:"], "-retry-interval must be greater than 0"),
        (["-tags", "{{.Name}}", "consul:"], "not a template"),
        (["-deregister", "never", "consul:"], "-deregister is always or on-success"),
        (["-resync=-1", "consul:"], "-resync and -drain must not be negative"),
        (["-drain=-1", "consul:"], "-resync and -drain must not be negative"),
    ],
)
def test_conflicts(words: list[str], message: str) -> None:
    """Values that do not go together end with a sentence that says why, and with exit code 1."""
    with pytest.raises(SystemExit, match=message):
        parse(words)


@pytest.mark.parametrize(
    ("words", "variable"), [("consul://192.0.2.1:http", ""), ("consul:", "192.0.2.1:http")]
)
def test_a_port_that_is_none(monkeypatch: pytest.MonkeyPatch, words: str, variable: str) -> None:
    """A port that is no number, in the URI or in Consul's own variable, ends with a sentence, too."""
    monkeypatch.setattr("sys.argv", ["registrator", words])
    monkeypatch.setenv("CONSUL_HTTP_ADDR", variable)

    with pytest.raises(SystemExit, match="registrator: Port could not be cast to integer"):
        main()


@pytest.mark.parametrize("word", ["-h", "-help", "--help"])
def test_help(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Help lists the flags and ends well."""
    with pytest.raises(SystemExit) as end:
        parse([word])

    assert end.value.code == 0
    assert "-useIpFromLabel" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the version alone and ends well."""
    with pytest.raises(SystemExit) as end:
        parse(["--version"])

    assert end.value.code == 0
    assert capsys.readouterr().out.count(".") == 2
