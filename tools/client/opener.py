"""Opening: many connections at once, each proven by one echoed ping.

A sweep connects and sends for all of them first and then reads in the order of opening: on a fast path
the handshake is over when connect() returns and the answers wait when reading begins, so that an attempt
costs five system calls and no epoll, or four and its share in the close of many. Only what is not ready yet
is given to epoll. Python's own work is done before and after the system calls of a chunk, because between
them it costs twice as much and more.
"""

from __future__ import annotations

import errno
import os
import select
from collections import deque
from typing import TYPE_CHECKING, Any

from .accounts import Kind, Loss, Outcome, SlowConnect, classify
from .histogram import LINEAR
from .history import OPEN
from .options import ALL, NONE
from .stamp import difference
from .wire import SECOND, Wire, clock, nanoseconds, own_port

if TYPE_CHECKING:
    from collections.abc import Callable

BACK_OFF = SECOND // 100
_ANSWER = select.EPOLLIN | select.EPOLLET
_CONNECTED = _ANSWER | select.EPOLLOUT
EINPROGRESS = errno.EINPROGRESS  # in this module, for the loops: a name less to look up
HOLD, CHURN = Kind
_Fresh = tuple[Any, bytes, int, Kind, int]  # socket, ping, when connected, kind, number


class Attempt:
    """A connection that was not ready at once; `connected` is the time at which it was, 0 before that."""

    __slots__ = ("answer", "connected", "kind", "message", "number", "sock", "started")

    def __init__(self, sock: Any, kind: Kind, number: int, message: bytes, started: int) -> None:  # noqa: ANN401
        """Begin with a socket (None: not even that) on its way."""
        self.sock = sock
        self.kind = kind
        self.number = number
        self.message = message
        self.started = started
        self.connected = 0
        self.answer = b""


class Opener:
    """Opens connections; `adopt(number, socket)` takes each proven one that is to be held."""

    def __init__(self, wire: Wire, adopt: Callable[[int, Any], None]) -> None:
        """Open nothing yet."""
        self._wire = wire
        self._adopt = adopt
        self._fresh: deque[_Fresh] = deque()
        self._connecting: dict[int, Attempt] = {}
        self._replying: dict[int, Attempt] = {}
        self._connect_timeout = nanoseconds(wire.options.connect_timeout)
        self._reply_timeout = nanoseconds(wire.options.reply_timeout)
        self._inspect = wire.options.tcp_info != NONE
        self._inspect_all = wire.options.tcp_info == ALL
        self._pace = SECOND / wire.options.rate if wire.options.rate else 0.0
        self._first_turn = 0.0
        self.resume_at = 0

    def start(self, now: int) -> None:
        """Begin at `now`: where the churn has a rate, the turn of its first connection is then."""
        self._first_turn = now - self._wire.options.connections * self._pace

    @property
    def pending(self) -> int:
        """Return how many attempts are under way."""
        return len(self._fresh) + len(self._connecting) + len(self._replying)

    @property
    def fresh(self) -> int:
        """Return how many attempts wait for `read`."""
        return len(self._fresh)

    @property
    def watched(self) -> int:
        """Return how many attempts wait for epoll."""
        return len(self._connecting) + len(self._replying)

    def open(self, kind: Kind, numbers: range) -> int:
        """Connect and send for each number; return how many were tried.

        They are fewer when this machine is out of descriptors or ports: opening then rests until `resume_at`.
        """
        wire = self._wire
        make, address, stamp = wire.make_socket, wire.target.address, wire.stamp.make
        base, size = wire.stamp.base, wire.options.size
        small, history = wire.connect.small, wire.history
        messages = [stamp(0, base + number) for number in numbers]
        opened: list[_Fresh] = []
        times: list[int] = []
        add, begun = opened.append, times.append
        self.resume_at = tried = 0
        for number, message in zip(numbers, messages, strict=True):
            tried += 1
            sock = None
            started = clock()
            if history:
                history.invoke(started, OPEN, number)
            try:
                sock = make()
                code = sock.connect_ex(address)
                connected = clock()
                if code and code != EINPROGRESS:
                    raise OSError(code, "connect")  # noqa: TRY301
                if sock.send(message) != size:
                    raise OSError(errno.ENOBUFS, "send")  # noqa: TRY301
            except OSError as error:
                self._delay(Attempt(sock, kind, number, message, started), error)
                if self.resume_at:
                    break
                continue
            add((sock, message, connected, kind, number))
            begun(started)
        for (sock, message, connected, _, number), started in zip(opened, times, strict=True):
            took = (connected - started) // 1000
            if took < LINEAR:
                small[took] += 1
            else:
                self._enter_connect(Attempt(sock, kind, number, message, started), connected)
        self._fresh += opened
        wire.accounts.attempts[kind] += tried
        return tried

    def read(self, count: int) -> None:
        """Read the answers of the `count` oldest connections, and leave what is not there yet to epoll."""
        take, limit, history = self._fresh.popleft, self._wire.options.size + 1, self._wire.history
        proven: list[_Fresh] = []
        times: list[int] = []
        add, answered = proven.append, times.append
        for fresh in [take() for _ in range(min(count, len(self._fresh)))]:
            sock, message, connected, kind, number = fresh
            try:
                answer = sock.recv(limit)
            except OSError as error:
                self._await(Attempt(sock, kind, number, message, connected), error)
                continue
            if answer != message:
                attempt = Attempt(sock, kind, number, message, connected)
                self._await(attempt, None)
                self._take(attempt, answer)
                continue
            answered(clock())
            add(fresh)
            if history:  # which is in the order of time
                self._enter(proven, times)
                proven.clear()
                times.clear()
        if proven:
            self._enter(proven, times)

    def _enter(self, proven: list[_Fresh], times: list[int]) -> None:
        """Enter connections whose right answers were read at `times`: hold or close them."""
        wire = self._wire
        small, history, inspect = wire.first_reply.small, wire.history, self._inspect_all
        patience = self._reply_timeout
        quick = min(LINEAR, patience // 1000)
        done: list[Any] = []
        for (sock, message, connected, kind, number), now in zip(proven, times, strict=True):
            took = (now - connected) // 1000
            if took < quick:
                small[took] += 1
            elif now - connected < patience:
                wire.first_reply.record(took)
            else:
                attempt = Attempt(sock, kind, number, message, connected)
                attempt.connected = connected
                self._give_up_reply(attempt)
                continue
            if history:
                history.ok(now, OPEN, number)
            if kind is HOLD:
                self._adopt(number, sock)
            else:
                if self._pace:
                    self._correct(number, now)
                if inspect:
                    wire.connections.read_from(sock)
                done.append(sock)
        if done:
            _close(done)
        wire.accounts.classes[CHURN][Outcome.OK] += len(done)

    def _correct(self, number: int, now: int) -> None:
        """Count the time from a connection's turn on, however late it was begun (coordinated omission)."""
        turn = self._first_turn + number * self._pace
        self._wire.first_reply_corrected.record(int(now - turn) // 1000)

    def _delay(self, attempt: Attempt, error: OSError) -> None:
        """Leave a connect under way to epoll; end the attempt when `error` says anything else."""
        if error.errno != errno.EAGAIN:
            self._fail(attempt, error)
            return
        descriptor = attempt.sock.fileno()
        self._connecting[descriptor] = attempt
        self._wire.epoll.register(descriptor, _CONNECTED)

    def _await(self, attempt: Attempt, error: OSError | None) -> None:
        """Leave an answer under way to epoll; end the attempt when `error` says anything else."""
        attempt.connected = attempt.started
        if error is not None and error.errno != errno.EAGAIN:
            self._fail(attempt, error)
            return
        descriptor = attempt.sock.fileno()
        self._replying[descriptor] = attempt
        self._wire.epoll.register(descriptor, _ANSWER)

    def advance(self, descriptor: int) -> None:
        """Do what epoll says has become possible on `descriptor`."""
        if attempt := self._replying.get(descriptor):
            self._receive(attempt)
        elif attempt := self._connecting.get(descriptor):
            self._send(attempt)

    def _send(self, attempt: Attempt) -> None:
        """Send the ping on a connection that has just been made or refused; too late, it is not sent."""
        connected = clock()
        if connected - attempt.started >= self._connect_timeout:
            self._give_up_connect(attempt)
            return
        try:
            if attempt.sock.send(attempt.message) != len(attempt.message):
                raise OSError(errno.ENOBUFS, "send")  # noqa: TRY301
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(attempt, error)
            return
        attempt.connected = connected
        self._enter_connect(attempt, connected)
        descriptor = attempt.sock.fileno()
        self._replying[descriptor] = self._connecting.pop(descriptor)
        self._receive(attempt)  # epoll may have told of an answer, or an end, together with the connection

    def _enter_connect(self, attempt: Attempt, connected: int) -> None:
        """Count how long the connect took, and list it apart when that was a second or more."""
        took = connected - attempt.started
        self._wire.connect.record(took // 1000)
        if took >= SECOND:
            slow = SlowConnect(connected, attempt.kind, attempt.number, own_port(attempt.sock), took)
            self._wire.accounts.wait_long(slow)

    def _receive(self, attempt: Attempt) -> None:
        """Read and judge all that has come: epoll tells only once of data with an end right behind it."""
        descriptor = attempt.sock.fileno()
        while self._replying.get(descriptor) is attempt:
            try:
                data = attempt.sock.recv(len(attempt.message) + 1 - len(attempt.answer))
            except BlockingIOError:
                return
            except OSError as error:
                self._fail(attempt, error)
            else:
                self._take(attempt, data)

    def _take(self, attempt: Attempt, data: bytes) -> None:
        """Judge the answer so far, of which `data` is new: nothing new means that the peer has closed."""
        attempt.answer += data
        if not data:
            self._end(attempt, Outcome.CLOSED_EARLY, "end of stream")
        elif attempt.answer == attempt.message:
            self._prove(attempt)
        elif not attempt.message.startswith(attempt.answer):
            self._end(attempt, Outcome.WRONG_BYTES, difference(attempt.message, attempt.answer))

    def _prove(self, attempt: Attempt) -> None:
        """Judge a right and whole answer that epoll had to wait for by its age."""
        now = clock()
        if now - attempt.connected >= self._reply_timeout:
            self._give_up_reply(attempt)
            return
        self._forget(attempt)
        self._wire.first_reply.record((now - attempt.connected) // 1000)
        if self._wire.history:
            self._wire.history.ok(now, OPEN, attempt.number)
        if attempt.kind is HOLD:
            self._wire.epoll.unregister(attempt.sock.fileno())
            self._adopt(attempt.number, attempt.sock)
        else:
            if self._pace:
                self._correct(attempt.number, now)
            if self._inspect:
                self._wire.connections.read_from(attempt.sock)
            attempt.sock.close()
            self._wire.accounts.classes[Kind.CHURN][Outcome.OK] += 1

    def _fail(self, attempt: Attempt, error: OSError) -> None:
        """End an attempt on the kernel's word."""
        code = error.errno or 0
        outcome = classify(code, connected=bool(attempt.connected), answered=bool(attempt.answer))
        if outcome is Outcome.LOCAL_ERROR:
            self.resume_at = clock() + BACK_OFF
        self._end(attempt, outcome, errno.errorcode.get(code, str(error)))

    def _end(self, attempt: Attempt, outcome: Outcome, reason: str) -> None:
        """Enter an attempt that ended badly and close its socket."""
        port, retransmits = 0, None
        if attempt.sock is not None:
            self._forget(attempt)
            port = own_port(attempt.sock)
            retransmits = self._wire.connections.read_from(attempt.sock) if self._inspect else None
            attempt.sock.close()
        now = clock()
        age = now - attempt.started
        loss = Loss(now, attempt.kind, attempt.number, outcome, reason, port, age, retransmits)
        self._wire.lose(loss)

    def _forget(self, attempt: Attempt) -> None:
        descriptor = attempt.sock.fileno()
        self._connecting.pop(descriptor, None)
        self._replying.pop(descriptor, None)

    def expire(self, now: int) -> None:
        """Give up what has waited too long: connects and answers each have their own patience."""
        while self._connecting:
            attempt = next(iter(self._connecting.values()))
            if now - attempt.started < self._connect_timeout:
                break
            self._give_up_connect(attempt)
        while self._replying:
            attempt = next(iter(self._replying.values()))
            if now - attempt.connected < self._reply_timeout:
                break
            self._give_up_reply(attempt)

    def _give_up_connect(self, attempt: Attempt) -> None:
        deadline = attempt.started + self._connect_timeout
        self._end(attempt, *self._wire.too_late(deadline, Outcome.TIMEOUT_CONNECT))

    def _give_up_reply(self, attempt: Attempt) -> None:
        deadline = attempt.connected + self._reply_timeout
        self._end(attempt, *self._wire.too_late(deadline, Outcome.TIMEOUT_REPLY))

    def abandon(self) -> None:
        """End all that is under way: the user waits no longer, so nobody can tell what would have come."""
        for attempt in [*self._connecting.values(), *self._replying.values()]:
            self._end(attempt, Outcome.LOCAL_ERROR, "interrupted")


def _close(sockets: list[Any]) -> None:
    """Close `sockets`: in one go where their descriptors follow one another, which costs less."""
    descriptors = [sock.detach() for sock in sockets]
    first, end = descriptors[0], descriptors[0] + len(descriptors)
    if descriptors == list(range(first, end)):
        os.closerange(first, end)
    else:
        for descriptor in descriptors:
            os.close(descriptor)
