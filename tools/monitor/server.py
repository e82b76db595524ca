"""The monitor's own HTTP: the page, JSON, server-sent events, Prometheus metrics, plain text.

Every answer is made of the state alone: no request makes the monitor ask anybody anything.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from . import view
from .metrics import exposition
from .negotiate import negotiate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .hub import Hub
    from .state import State

STATIC = Path(__file__).parent / "static"
FORMS = ("text/plain", "text/html", "application/json")
PATIENCE = 10.0  # s that a browser may take to read one message, after which it has to come again
SAFETY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Pages:
    """The handlers of all requests."""

    def __init__(self, state: State, hub: Hub) -> None:
        """Answer with `state`, live through `hub`."""
        self._state = state
        self._hub = hub

    def application(self) -> web.Application:
        """Return the application with its routes."""
        app = web.Application(middlewares=[_hide])
        app.on_response_prepare.append(_secure)
        app.router.add_get("/", self.root)
        app.router.add_get("/api/state", self.state)
        app.router.add_get("/api/history", self.history)
        app.router.add_get("/events", self.events, allow_head=False)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_static("/static", STATIC)
        return app

    async def root(self, request: web.Request) -> web.StreamResponse:
        """Answer with the page to a browser, with plain text to curl, with JSON to who asks for it."""
        form = negotiate(request.headers.get("Accept", "*/*"), FORMS)
        headers = {"Vary": "Accept"}
        if form == "text/html":
            return web.FileResponse(STATIC / "index.html", headers=headers)
        if form == "application/json":
            return web.json_response(self._hub.snapshot(), headers=headers)
        return web.Response(text=view.text(self._state), headers=headers)

    async def state(self, _: web.Request) -> web.Response:
        """Answer with the snapshot."""
        return web.json_response(self._hub.snapshot())

    async def history(self, _: web.Request) -> web.Response:
        """Answer with the connections of the last minutes."""
        return web.json_response(view.history(self._state))

    async def metrics(self, _: web.Request) -> web.Response:
        """Answer with the metrics in Prometheus' text format."""
        body = exposition(self._state, self._hub.browsers)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Send the snapshot, then each change, until the browser leaves."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self._hub.browsers += 1
        try:
            await self._send(response)
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._hub.browsers -= 1
        return response

    async def _send(self, response: web.StreamResponse) -> None:
        version = 0
        while True:
            version, message = await self._hub.next(version)
            async with asyncio.timeout(PATIENCE):
                await response.write(message)


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SAFETY)


@web.middleware
async def _hide(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer that there is nothing where aiohttp says that it is forbidden: at the page's folder."""
    try:
        return await handler(request)
    except web.HTTPForbidden:
        raise web.HTTPNotFound from None
