"""SERVICE_* metadata: who wins, and what reaches Consul's Meta."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.registrator.registrator.metadata import attributes, metadata, split_tags

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\\,", exclude_categories=["C"]), min_size=1)
KEY = st.sampled_from(["NAME", "TAGS", "REGION", "80_NAME", "80_TAGS", "81_NAME", "80", "CHECK_TCP"])
PAIRS = st.dictionaries(
    KEY.map("SERVICE_{}".format), st.text(st.characters(codec="utf-8", exclude_characters="="), max_size=4)
)


@pytest.mark.parametrize(
    ("environment", "labels", "wanted"),
    [
        (["SERVICE_NAME=a", "PATH=/bin", "XSERVICE_B=c"], {}, {"name": "a"}),
        (["SERVICE_NAME=a"], {"SERVICE_NAME": "b"}, {"name": "b"}),
        (["SERVICE_80_NAME=a"], {"SERVICE_NAME": "b"}, {"name": "a"}),
        (["SERVICE_81_NAME=a"], {"SERVICE_NAME": "b"}, {"name": "b"}),
        (["SERVICE_NAME=a=b"], {}, {"name": "a=b"}),
        (["SERVICE_NAME=a"], {"SERVICE_NAME": ""}, {}),
        (["SERVICE_NAME=a", "SERVICE_80_NAME="], {}, {}),
        (["SERVICE_80=x", "SERVICE_Check_Http=/"], {}, {"80": "x", "check_http": "/"}),
    ],
)
def test_precedence(environment: list[str], labels: dict[str, str], wanted: dict[str, str]) -> None:
    """A label beats the environment, the port's own beats the general, an empty value is none."""
    assert metadata(environment, labels, 80)[0] == wanted


@given(PAIRS, PAIRS)
def test_order_of_the_environment_does_not_matter(
    environment: dict[str, str], labels: dict[str, str]
) -> None:
    """Specificity and origin decide, not where in the environment a variable stands."""
    lines = [f"{key}={value}" for key, value in environment.items()]

    assert metadata(lines, labels, 80) == metadata(lines[::-1], labels, 80)


@given(PAIRS, PAIRS)
def test_a_value_is_what_somebody_gave(environment: dict[str, str], labels: dict[str, str]) -> None:
    """No value is empty or invented, and a port-specific one is found wherever it was given."""
    found, special = metadata([f"{key}={value}" for key, value in environment.items()], labels, 80)

    given_values = set(environment.values()) | set(labels.values())
    assert set(found.values()) <= given_values - {""}
    assert special == {key[11:].lower() for key in environment | labels if key.startswith("SERVICE_80_")}


@given(st.lists(TEXT))
def test_tags_keep_their_order(tags: list[str]) -> None:
    """A comma list yields its tags in order, and without the empty ones."""
    assert split_tags(",".join(tags)) == tags
    assert split_tags("," + ",,".join(tags) + ",") == tags


def test_a_comma_within_a_tag() -> None:
    """A backslash makes a comma part of its tag."""
    assert split_tags(r"a\,b,c") == ["a,b", "c"]


def test_attributes() -> None:
    """Meta takes what has no other use, without checks, and nothing that Consul would refuse."""
    meta = {"name": "a", "tags": "b", "check_tcp": "1", "region": "eu", "long": "x" * 513, "bad key": "1"}

    assert attributes(meta) == {"region": "eu"}
    assert len(attributes({f"key{number}": "x" for number in range(100)})) == 61
    assert attributes({"wide": "é" * 300, "consul-reserved": "1"}) == {}
