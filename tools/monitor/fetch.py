"""One HTTP request whose answer has a time limit and a size limit, and one kind of error in plain words."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from .answer import AnswerError

if TYPE_CHECKING:
    from collections.abc import Mapping

OK = 200
PORTS = range(1, 2**16)


@dataclass(frozen=True)
class Answer:
    """The body of a good answer, and its headers."""

    body: bytes
    headers: Mapping[str, str]

    def json(self) -> object:
        """Return the body's JSON; raises AnswerError when it is none."""
        try:
            document: object = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise AnswerError("answered something that is not JSON") from error
        return document


def session() -> aiohttp.ClientSession:
    """Return a session for any number of parallel requests, which keeps no cookies and unpacks nothing."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"Accept-Encoding": "identity"},
    )


def url_of(address: str, port: int, path: str) -> URL:
    """Return the HTTP URL of a path at an address and port; raises AnswerError when they are none."""
    if port not in PORTS:
        raise AnswerError("has no usable port")
    try:
        return URL.build(scheme="http", host=address, port=port, path=path)
    except ValueError as error:
        raise AnswerError("has no usable address") from error


async def get(http: aiohttp.ClientSession, url: URL, seconds: float, size: int) -> Answer:
    """Return the answer to one GET.

    The whole of it takes at most `seconds`, its body at most `size` bytes. A redirect is not
    followed: it would lead to an address that nobody named. Raises AnswerError.
    """
    try:
        async with (
            asyncio.timeout(seconds),
            http.get(url, allow_redirects=False) as response,
        ):
            if response.status != OK:
                raise AnswerError(f"answered status {response.status}")
            return Answer(await _body(response, size), response.headers)
    except TimeoutError as error:
        raise AnswerError(f"no answer within {seconds:g} s", late=True) from error
    except aiohttp.ClientConnectorError as error:
        raise AnswerError(reason(error.os_error)) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise AnswerError("broke off or does not speak HTTP") from error


async def _body(response: aiohttp.ClientResponse, size: int) -> bytes:
    try:
        await response.content.readexactly(size + 1)
    except asyncio.IncompleteReadError as end:
        return end.partial
    raise AnswerError(f"answered more than {size} bytes")


def reason(error: OSError) -> str:
    """Return what is wrong in a few words."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return (error.strerror or "cannot be reached").lower()
