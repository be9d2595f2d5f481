"""Thread pools whose tasks ask clients, without their races: what the tasks of a pool ask leaves as one batch.

Flower's older servers ask each client from a thread of a pool. In virtual time those messages leave together. So tasks
run one at a time, in the order in which they were submitted, until each has ended or asks; then all that was asked is
sent at once, and the tasks go on with their answers. Which thread is faster decides nothing.
"""

from __future__ import annotations

import threading
from concurrent import futures
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from flwr.app import Message

    Send = Callable[[list[Message]], list[Message]]
    """Sends a batch and returns its answers, in any order, each with the id of what it answers."""


class Lockstep:
    """Sends what tasks ask in batches.

    Parameters
    ----------
    send : callable
        Called in the thread that waits for a pool, never in a task's.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._owner = threading.get_ident()
        self._here = threading.local()

    @property
    def foreign(self) -> bool:
        """Whether the calling thread is neither the owner's nor a task's, so that its questions have no place."""
        return threading.get_ident() != self._owner and self._strand is None

    @property
    def _strand(self) -> _Strand | None:
        return getattr(self._here, "strand", None)

    def ask(self, messages: list[Message]) -> list[Message]:
        """Return the answers to some messages: at once in the owner's thread, in a task when its turn comes."""
        return self._send(messages) if self._strand is None else self._strand.ask(messages)

    def run(self, tasks: Iterable[Callable[[], None]]) -> None:
        """Run tasks to their end. Whatever sending raises ends them all, and is raised."""
        waiting = [_Strand(task, self._here) for task in tasks]
        for strand in waiting:
            strand.turn()
        while waiting := [strand for strand in waiting if strand.asks]:
            try:
                answers = {
                    answer.metadata.reply_to_message_id: answer
                    for answer in self.ask([message for strand in waiting for message in strand.asks])
                }
            except BaseException as error:
                for strand in waiting:
                    strand.fail(error)
                raise
            for strand in waiting:
                strand.answer(answers)


class _Strand:
    """A task in a thread of its own that runs only in its turns."""

    def __init__(self, task: Callable[[], None], here: threading.local) -> None:
        self.asks: list[Message] = []
        """What the task waits for; nothing once it has ended."""
        self._answers: list[Message] = []
        self._error: BaseException | None = None
        self._mine, self._theirs = threading.Semaphore(0), threading.Semaphore(0)

        def run() -> None:
            self._mine.acquire()
            here.strand = self
            try:
                task()
            finally:
                self._theirs.release()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def turn(self) -> None:
        """Let the task run until it asks or ends."""
        self._mine.release()
        self._theirs.acquire()
        if not self.asks:
            self._thread.join()

    def ask(self, messages: list[Message]) -> list[Message]:
        """Give the turn away until the answers are there (in the task's thread)."""
        self.asks = messages
        self._theirs.release()
        self._mine.acquire()
        self.asks = []
        if self._error is not None:
            raise self._error
        return self._answers

    def answer(self, answers: dict[str, Message]) -> None:
        ids = [message.metadata.message_id for message in self.asks]
        self._answers = [answers[each] for each in ids if each in answers]
        self.turn()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self.turn()


def pools(lockstep: Lockstep) -> dict[str, Any]:
    """Return what stands in for the names of `concurrent.futures` that make pools and wait for them."""

    class Pool(_Pool):
        def __init__(self, *_args: Any, **_kwargs: Any) -> None:
            super().__init__(lockstep)

    return {"ThreadPoolExecutor": Pool, "wait": _wait, "as_completed": _as_completed}


class _Pool(futures.Executor):
    """A thread pool that begins its tasks when somebody waits for one."""

    def __init__(self, lockstep: Lockstep) -> None:
        self._lockstep = lockstep
        self._tasks: list[Callable[[], None]] = []
        self._submitted = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> _Future:
        self._submitted += 1
        future = _Future(self, self._submitted)

        def task() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            # As every executor does: what a task raises is raised where its result is asked for.
            except BaseException as error:  # noqa: BLE001
                future.set_exception(error)

        self._tasks.append(task)
        return future

    def work(self) -> None:
        """Run what was submitted."""
        tasks, self._tasks = self._tasks, []
        self._lockstep.run(tasks)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        del wait
        if cancel_futures:
            self._tasks = []
        self.work()


class _Future(futures.Future[Any]):
    """A future whose pool works when somebody looks."""

    def __init__(self, pool: _Pool, number: int) -> None:
        super().__init__()
        self.pool, self.number = pool, number

    def done(self) -> bool:
        self.pool.work()
        return super().done()

    def result(self, timeout: float | None = None) -> Any:
        self.pool.work()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self.pool.work()
        return super().exception(timeout)


def _in_order(waited: Iterable[Any]) -> list[Any]:
    """Return futures as they were submitted: callers hold them in sets."""
    held = list(waited)
    for future in held:
        if isinstance(future, _Future):
            future.pool.work()
    return sorted(held, key=lambda future: getattr(future, "number", 0))


def _wait(fs: Iterable[Any], timeout: float | None = None, return_when: str = futures.ALL_COMPLETED) -> Any:
    ordered = _in_order(fs)
    finished = futures.wait(ordered, timeout, return_when)
    done = dict.fromkeys(future for future in ordered if future in finished.done)
    # Keys of a dict are a set that keeps its order, so that results are aggregated in one order always.
    ordered_set: Any = done.keys()
    return finished._replace(done=ordered_set)


def _as_completed(fs: Iterable[Any], timeout: float | None = None) -> Iterator[Any]:
    del timeout
    yield from _in_order(fs)
