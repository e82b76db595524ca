"""What the tests of the client share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.client import behaviours as b

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def port() -> Iterator[int]:
    """Give the port of a server that does what is right."""
    with b.Server(b.echo) as server:
        yield server.port
