"""What answers in Consul's place is told from Consul."""

import http.server
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from lab import topology
from lab.consul import Agent
from lab.errors import ForeignAnswerError
from lab.waiting import wait_for

PAGE = b"<html>welcome</html>"


class Page(http.server.BaseHTTPRequestHandler):
    """Answers all with one page, with the code that the path names or 200."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(502 if "502" in self.path else 200)
        self.send_header("Content-Type", "text/plain" if "plain" in self.path else "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)


@pytest.fixture
def agent() -> Iterator[Agent]:
    """An agent's address where somebody else answers."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        place: Any = SimpleNamespace(port=server.server_address[1])
        yield Agent("server1", place, place, topology.load())
        server.shutdown()


@pytest.mark.parametrize(
    "question",
    [Agent.leader, Agent.peers, Agent.members, Agent.health, Agent.raft, Agent.catalog_ids],
)
def test_a_page_is_not_consul_s(agent: Agent, question: Callable[[Agent], object]) -> None:
    """Whatever is asked: the error says who answered what, and it is the lab's, not the stack's."""
    with pytest.raises(ForeignAnswerError, match=r"/v1/.* answered 200, text/html"):
        question(agent)


@pytest.mark.parametrize("path", ["502", "plain"])
def test_nor_is_a_gateway_s_error_or_a_success_that_is_no_json(agent: Agent, path: str) -> None:
    """Consul says its errors in plain text, and everything else in JSON."""
    with pytest.raises(ForeignAnswerError):
        agent.get(path)


def test_waiting_for_it_cannot_tell(agent: Agent) -> None:
    """It may be a proxy's page for a while; if it stays nobody has asked Consul."""
    with pytest.raises(ForeignAnswerError):
        agent.leader()
    with pytest.raises(Exception, match="a leader did not come") as raised:
        wait_for(agent.leader, within=0.1, what="a leader")
    assert not raised.errisinstance(AssertionError)
