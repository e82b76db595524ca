"""Questions to Consul's HTTP API through whichever of its agents answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .answer import AnswerError
from .fetch import Answer, get, url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from .state import State

SIZE = 32 * 2**20  # of one answer: 500 instances are about 1 MiB
DIGITS = 20  # of an index, which has 64 bits
WAIT = 2.0  # s that a blocking query stays open: after it, an agent that became worse than another is left
PAUSE = (
    0.1  # s between two answers of one blocking query, so that a catalog in uproar is read 10 times a second
)


@dataclass(frozen=True)
class Position:
    """How far a blocking query has come: an index means something only to the agent that gave it."""

    agent: str = ""
    index: int = 0


class Consul:
    """Consul, seen through a list of agents.

    Answers may be stale: any server gives its own, so that a frozen leader does not hold them up. An
    agent that knows a leader is asked before one that knows none, and that before one that is silent.
    """

    def __init__(self, http: aiohttp.ClientSession, state: State, seconds: float) -> None:
        """Ask the state's agents over `http`, each for at most `seconds`."""
        self._http = http
        self._state = state
        self._seconds = seconds

    async def ask_agent(self, agent: str, path: str) -> object:
        """Return one agent's JSON; raises AnswerError."""
        return (await self._get(agent, path, {}, self._seconds)).json()

    async def ask(self, path: str) -> object:
        """Return the JSON of the first agent that answers; raises AnswerError when none does."""
        _, answer = await self._first(path, Position(), blocking=False)
        return answer.json()

    async def watch(self, path: str) -> AsyncIterator[object]:
        """Yield the JSON at first and whenever it changes; raises AnswerError when no agent answers."""
        position = Position()
        while True:
            agent, answer = await self._first(path, position, blocking=True)
            new = Position(agent, _index(answer))
            if new != position:
                yield answer.json()
            went_back = new.agent == position.agent and new.index < position.index
            position = Position() if went_back else new
            await asyncio.sleep(PAUSE)

    async def _first(self, path: str, position: Position, *, blocking: bool) -> tuple[str, Answer]:
        errors: list[AnswerError] = []
        agents = ranked(self._state)
        for agent in agents:
            index = position.index if agent == position.agent else 0
            query = {"stale": "", "index": str(index), "wait": f"{WAIT:g}s"} if blocking else {"stale": ""}
            seconds = self._seconds + (WAIT * 17 / 16 if blocking else 0)  # Consul adds up to a 16th
            try:
                return agent, await self._get(agent, path, query, seconds)
            except AnswerError as error:
                errors.append(error)
        text = "; ".join(f"{agent}: {error}" for agent, error in zip(agents, errors, strict=True))
        raise AnswerError(text, late=any(error.late for error in errors))

    async def _get(self, agent: str, path: str, query: dict[str, str], seconds: float) -> Answer:
        host, _, port = agent.rpartition(":")
        return await get(self._http, url_of(host, int(port), path).with_query(query), seconds, SIZE)


def ranked(state: State) -> list[str]:
    """Return the agents, those that can be expected to know most first."""

    def rank(agent: str) -> int:
        if state.leaders.get(agent):
            return 0
        reach = state.sources.get(agent)
        return 2 if reach is not None and reach.status == "unreachable" else 1

    return sorted(state.agents, key=rank)


def _index(answer: Answer) -> int:
    text = answer.headers.get("X-Consul-Index", "")
    if not text.isdecimal() or len(text) > DIGITS:
        raise AnswerError("answered without an index: this is not Consul")
    return int(text)
