"""Orders in which three servers are started, and values by which their cluster is recognised."""

from __future__ import annotations

import itertools
import random

import pytest

from lab.hosts import Lab, Node

ORDERS = list(itertools.permutations(range(3)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `order` in all six; above full depth in one, which the run's seed chooses."""
    if "order" in metafunc.fixturenames:
        chosen = random.choice(ORDERS)
        orders = [
            pytest.param(
                order,
                id="".join(str(place + 1) for place in order),
                marks=() if order == chosen else pytest.mark.full,
            )
            for order in ORDERS
        ]
        metafunc.parametrize("order", orders, indirect=True)


@pytest.fixture
def order(request: pytest.FixtureRequest, lab: Lab) -> list[Node]:
    """The servers in the order in which they are to be started."""
    return [lab.servers[place] for place in request.param]
