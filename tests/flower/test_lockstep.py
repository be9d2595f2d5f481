import concurrent.futures
import threading
from types import SimpleNamespace

import pytest

from fedlite.flower.lockstep import Lockstep, pools


class Questions:
    """Stands in for the grid: answers every batch in reverse, and keeps what it was sent."""

    def __init__(self, error=None):
        self.batches, self.threads, self.error = [], set(), error
        self.lockstep = Lockstep(self.send)
        self.futures = SimpleNamespace(**pools(self.lockstep))

    def send(self, batch):
        self.batches.append([message.text for message in batch])
        self.threads.add(threading.get_ident())
        if self.error is not None and len(self.batches) == self.error[0]:
            raise self.error[1]
        return [
            SimpleNamespace(text=f"{m.text}!", metadata=SimpleNamespace(reply_to_message_id=m.metadata.message_id))
            for m in reversed(batch)
        ]

    def ask(self, text):
        message = SimpleNamespace(text=text, metadata=SimpleNamespace(message_id=text))
        return [answer.text for answer in self.lockstep.ask([message])]


def test_what_tasks_ask_leaves_together_and_in_order():
    questions = Questions()
    with questions.futures.ThreadPoolExecutor(max_workers=1) as pool:
        asked = {pool.submit(questions.ask, str(i)) for i in range(20)}
        done, not_done = questions.futures.wait(asked)
    assert questions.batches == [[str(i) for i in range(20)]]
    assert [future.result() for future in done] == [[f"{i}!"] for i in range(20)]
    assert not not_done
    assert questions.threads == {threading.get_ident()}


def test_tasks_that_ask_again_leave_in_waves_and_others_end():
    questions = Questions()

    def task(i):
        return [questions.ask(f"{i}.{j}")[0] for j in range(i)]

    with questions.futures.ThreadPoolExecutor() as pool:
        found = list(pool.map(task, range(4)))
    assert questions.batches == [["1.0", "2.0", "3.0"], ["2.1", "3.1"], ["3.2"]]
    assert found == [[f"{i}.{j}!" for j in range(i)] for i in range(4)]


def test_results_are_there_for_whoever_looks_in_whatever_way():
    questions = Questions()
    pool = questions.futures.ThreadPoolExecutor()
    assert pool.submit(questions.ask, "a").result() == ["a!"]
    assert pool.submit(questions.ask, "b").done()
    assert isinstance(pool.submit(lambda: 1 / 0).exception(), ZeroDivisionError)
    ordered = questions.futures.as_completed({pool.submit(questions.ask, text) for text in "xyz"})
    assert [future.result()[0] for future in ordered] == ["x!", "y!", "z!"]
    late = pool.submit(questions.ask, "never")
    pool.shutdown(cancel_futures=True)
    assert all("never" not in batch for batch in questions.batches)
    assert isinstance(late, concurrent.futures.Future)


def test_pools_within_tasks_ask_with_the_others():
    questions = Questions()

    def outer(name):
        with questions.futures.ThreadPoolExecutor() as pool:
            return [answer for [answer] in pool.map(questions.ask, [f"{name}1", f"{name}2"])]

    with questions.futures.ThreadPoolExecutor() as pool:
        assert list(pool.map(outer, "ab")) == [["a1!", "a2!"], ["b1!", "b2!"]]
    assert questions.batches == [["a1", "a2", "b1", "b2"]]


def test_an_error_of_the_grid_ends_every_task_and_is_raised():
    questions = Questions(error=(2, KeyboardInterrupt()))
    ended = []

    def task(name):
        try:
            questions.ask(name)
            questions.ask(name * 2)
        finally:
            ended.append(name)

    pool = questions.futures.ThreadPoolExecutor()
    for name in "ab":
        pool.submit(task, name)
    with pytest.raises(KeyboardInterrupt):
        pool.work()
    assert ended == ["a", "b"]


def test_a_thread_from_elsewhere_is_known():
    questions, told = Questions(), []
    thread = threading.Thread(target=lambda: told.append(questions.lockstep.foreign))
    thread.start()
    thread.join()
    with questions.futures.ThreadPoolExecutor() as pool:
        told.append(pool.submit(lambda: questions.lockstep.foreign).result())
    assert [*told, questions.lockstep.foreign] == [True, False, False]
