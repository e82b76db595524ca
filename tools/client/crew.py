"""Several processes on one run: started together, told to stop together, added up."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from .holder import Held
from .options import UsageError
from .stop import SIGNALS, Stop
from .timeline import Sample
from .worker import Result, Worker, share

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

    from .options import Options
    from .wire import Target

_FORK = multiprocessing.get_context("fork")
PATIENCE = 10.0


class Crew:
    """The processes of a run; the same face as a single Worker."""

    def __init__(self, options: Options, target: Target, run: int, stop: Stop) -> None:
        """Start `options.procs` processes, which begin at once.

        Raises UsageError when this machine cannot: those that have begun are ended then.
        """
        self._stop = stop
        self._patience = options.time_limit + options.connect_timeout + options.reply_timeout + PATIENCE
        self._shares: list[int] = []
        self._pipes: list[Connection] = []
        self._processes: list[ForkProcess] = []
        self._overdue: set[int] = set()
        self._asked = 0
        with _held_back(SIGNALS):  # what comes meanwhile is passed on as soon as all have started
            for process in range(options.procs):
                part = share(options, process)
                self._shares.append(part.connections)
                try:
                    self._start(partial(Worker, part, target, run, process, stop))
                except OSError as error:
                    self._dismiss()
                    raise UsageError(
                        f"process {process} of --procs {options.procs} cannot be started: {error.strerror}"
                    ) from error
            self._handlers: dict[signal.Signals, Any] = {
                number: signal.signal(number, self._pass_on) for number in SIGNALS
            }

    def _start(self, hire: Callable[[], Worker]) -> None:
        here, there = _FORK.Pipe()
        arguments = (hire, self._stop, there, [*self._pipes, here])
        child = _FORK.Process(target=_work, args=arguments, daemon=True)
        child.start()
        there.close()
        self._pipes.append(here)
        self._processes.append(child)

    def run(self, tell: Callable[[Sample], None]) -> Result:
        """Wait for all; tell a sample a second, added up; return the results added up.

        Who has not ended in time, because it hangs, is killed: nobody knows what it did.
        """
        results = Result()
        samples = _Samples(tell, len(self._pipes))
        messages = self._listen()
        end = time.monotonic() + self._patience
        waiting = set(range(len(self._pipes)))
        while waiting:
            try:
                process, message = messages.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                self._kill(waiting)
                end += PATIENCE  # within which their pipes end with them
                continue
            if isinstance(message, Sample):
                samples.add(process, message)
                self._ask_again()
                continue
            waiting.remove(process)
            samples.leave(process)
            results.add(message if isinstance(message, Result) else self._missing(process, message))
        return results

    def _listen(self) -> SimpleQueue[tuple[int, Any]]:
        """Return where the messages of all processes arrive: who stops within one keeps no other waiting."""
        messages: SimpleQueue[tuple[int, Any]] = SimpleQueue()
        for process, pipe in enumerate(self._pipes):
            Thread(target=_forward, args=(process, pipe, messages), daemon=True).start()
        return messages

    def close(self) -> None:
        """Let them close what lives, and end."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for pipe in self._pipes:
            pipe.close()  # each process waits for this
        for process in self._processes:
            process.join(PATIENCE)
            process.kill()

    def _kill(self, hanging: Iterable[int]) -> None:
        """End processes that hang."""
        for process in hanging:
            self._overdue.add(process)
            self._processes[process].kill()

    def _dismiss(self) -> None:
        """End those who have begun a run that does not take place."""
        for process, pipe in zip(self._processes, self._pipes, strict=True):
            pipe.close()
            process.kill()
            process.join()

    def _missing(self, process: int, error: OSError | None) -> Result:
        """Return the result of a process that brought none home, because of `error` if it could say so."""
        end = "did not end in time" if process in self._overdue else "died"
        trouble = str(error) if error else f"process {process} {end}: nobody knows what it did"
        held = self._shares[process]
        return Result(held=Held(wanted=held), troubles=[trouble], unknown=held)

    def _pass_on(self, number: int, _frame: object) -> None:
        """Pass a request to stop on to the processes."""
        self._stop.request(signal.Signals(number).name)
        self._ask_again()

    def _ask_again(self) -> None:
        """Ask the processes for the end if this one was since: by a signal, or for want of a reader."""
        if self._stop.count == self._asked:
            return
        self._asked = self._stop.count
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.kill(process.pid or 0, signal.SIGTERM)


class _Samples:
    """Adds up the samples of one second; those who have left do not count."""

    def __init__(self, tell: Callable[[Sample], None], processes: int) -> None:
        self._tell = tell
        self._last: dict[int, Sample] = {}
        self._fresh: set[int] = set()
        self._waiting = set(range(processes))

    def add(self, process: int, sample: Sample) -> None:
        self._last[process] = sample
        self._fresh.add(process)
        self._tell_when_complete()

    def leave(self, process: int) -> None:
        self._waiting.discard(process)
        self._tell_when_complete()

    def _tell_when_complete(self) -> None:
        if self._fresh and self._waiting <= self._fresh:
            total = Sample()
            for sample in self._last.values():
                total.add(sample)
            self._fresh.clear()
            self._tell(total)


@contextmanager
def _held_back(numbers: Collection[signal.Signals]) -> Iterator[None]:
    """Let these signals wait; a process that is forked meanwhile begins with them waiting."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _forward(process: int, pipe: Connection, messages: SimpleQueue[tuple[int, Any]]) -> None:
    """Hand on the messages of one process until its last."""
    while True:
        message = _receive(pipe)
        messages.put((process, message))
        if not isinstance(message, Sample):
            return


def _receive(pipe: Connection) -> Any:  # noqa: ANN401 - a Sample, a Result, an OSError or None
    try:
        return pipe.recv()
    except (EOFError, OSError):  # the latter when it died within a message
        return None


def _work(hire: Callable[[], Worker], stop: Stop, pipe: Connection, inherited: list[Connection]) -> None:
    """Be one process: hire a worker, report, wait until the connections may be closed.

    The parent's ends of the pipes are closed here, so that its death is seen.
    """
    for end in inherited:
        end.close()
    os.setpgrp()  # signals come from the parent alone, which passes each on once
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stop.on_signals(signal.SIGTERM), suppress(BrokenPipeError, ConnectionResetError, EOFError):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        try:
            pipe.send(hire().run(pipe.send))
        except (BrokenPipeError, ConnectionResetError):  # the parent is gone
            raise
        except OSError as error:
            pipe.send(error)
        pipe.recv()
