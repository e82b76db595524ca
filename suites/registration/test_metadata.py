"""A container's ports, labels and variables become services as gliderlabs/registrator's users know them."""

import pytest

from .conftest import Containers


def test_one_port_is_one_service(containers: Containers) -> None:
    """R1: A published port is registered under the image's name, at the docker host's address and port."""
    name = containers.run("one", "--publish", "20001:80")

    services = containers.settle(containers.id_of(name, 80))

    service = services[containers.id_of(name, 80)]
    assert service["Service"] == "fep"
    assert service["Port"] == 20001


def test_several_ports_have_their_suffix(containers: Containers) -> None:
    """Two ports are two services, each named with its port; a name of its own has no suffix."""
    options = ("--publish", "20001:80", "--publish", "20002:443", "--env", "SERVICE_443_NAME=secure")
    name = containers.run("two", *options)
    ids = [containers.id_of(name, port) for port in (80, 443)]

    services = containers.settle(*ids)

    assert [services[key]["Service"] for key in ids] == ["fep-80", "secure"]


def test_udp_is_told_apart(containers: Containers) -> None:
    """A UDP port has `:udp` in its ID and the tag udp."""
    name = containers.run("udp", "--publish", "20001:53/udp")
    key = containers.id_of(name, 53, ":udp")

    assert "udp" in containers.settle(key)[key]["Tags"]


def test_the_host_s_network_needs_no_publishing(containers: Containers) -> None:
    """With the host's network an exposed port is the host's own."""
    name = containers.run("host", "--net", "host", "--expose", "20003")
    key = containers.id_of(name, 20003)

    assert containers.settle(key)[key]["Port"] == 20003


def test_a_label_beats_a_variable(containers: Containers) -> None:
    """Of two names the label's wins."""
    key = containers.launch("label", 20001, "--env", "SERVICE_NAME=variable", "--label", "SERVICE_NAME=label")

    assert containers.settle(key)[key]["Service"] == "label"


@pytest.mark.original_fails("v7.4.0, which turns the order of SERVICE_TAGS round")
def test_tags_keep_their_order(containers: Containers) -> None:
    """The tags of SERVICE_TAGS are there in the order in which they were given."""
    key = containers.launch("tags", 20001, "--env", "SERVICE_TAGS=b,a")

    assert containers.settle(key)[key]["Tags"] == ["b", "a"]


def test_an_id_of_its_own_comes_and_goes(containers: Containers) -> None:
    """SERVICE_ID replaces the whole ID, and such a service is removed like any other."""
    name = containers.run("custom", "--publish", "20001:80", "--env", "SERVICE_ID=t-mine")
    containers.settle("t-mine")

    containers.docker("rm", "--force", name)

    containers.settle()


def test_what_is_ignored_or_not_published_is_no_service(containers: Containers) -> None:
    """SERVICE_IGNORE, SERVICE_<port>_IGNORE and an exposed but unpublished port are left out."""
    containers.run("ignored", "--publish", "20001:80", "--env", "SERVICE_IGNORE=yes")
    containers.run("unpublished", "--expose", "80")
    options = ("--publish", "20002:80", "--publish", "20003:81", "--env", "SERVICE_81_IGNORE=yes")
    name = containers.run("half", *options)

    containers.settle(containers.id_of(name, 80))


@pytest.mark.original_fails("#224, #408")
def test_a_new_name_is_followed(containers: Containers) -> None:
    """A renamed container is registered under its new name only."""
    name = containers.run("old", "--publish", "20001:80")
    containers.settle(containers.id_of(name, 80))

    containers.docker("rename", name, "t-new")

    containers.settle(containers.id_of("t-new", 80))
