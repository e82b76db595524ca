"""GET /health: whether the last look at both sides worked, and counters, as JSON."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .loop import Registrator


def report(registrator: Registrator) -> dict[str, Any]:
    """Return what /health tells."""
    reasons, services = registrator.reasons, registrator.services
    return {
        "healthy": registrator.counts["reconciliations"] > 0
        and not (registrator.failure or registrator.refused),
        "failure": str(registrator.failure or ""),
        "waiting": sorted(registrator.refused),
        "not_in_catalog": sorted(services - reasons.in_catalog),
        "services": len(services),
        "seconds_since_success": round(time.monotonic() - registrator.success, 3),
        "last_look_ms": round(registrator.took * 1000, 1),
        "events": reasons.events,
        **registrator.counts,
    }


def serve(address: str, registrator: Registrator) -> ThreadingHTTPServer:
    """Serve on HOST:PORT in a thread; return the server; raise OSError or ValueError for a bad address."""

    class Handler(BaseHTTPRequestHandler):
        """Answers GET /health with 200 or, unhealthy, 503."""

        def do_GET(self) -> None:
            """Answer one request."""
            answer = report(registrator)
            found = self.path == "/health"
            body = json.dumps(answer).encode() if found else b""
            self.send_response((200 if answer["healthy"] else 503) if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Leave the log to changes."""

    host, _, port = address.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
