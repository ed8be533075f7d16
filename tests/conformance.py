"""What every implementation of a contract promises: suites to subclass."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cachedmodel.codecs import PickleRefusedError, dump, load
from cachedmodel.errors import CacheError, ComputeError, InfraError, JobLostError
from cachedmodel.executors import Executor, get_executor, usable_cores
from tests.codecs.exactness import exactly_equal
from tests.codecs.roundtrip import again, join
from tests.executors import calls
from tests.executors.calls import PATIENCE_S, Write


class CodecTests:
    """What every codec promises. A subclass names the codec, gives values, and says what is special."""

    codec: str
    pickles = False
    """Loading may run code: it is told in the payload, and refused where that is not allowed."""
    views = False
    """Arrays are views of the payload."""
    damages = 100
    """How many times each value is damaged."""

    def values(self) -> Sequence[object]:
        """Values that the codec takes."""
        raise NotImplementedError

    def declined(self) -> Sequence[object]:
        """Values that the codec declines, because they would not come back exactly."""
        return ()

    def test_values_come_back_exactly(self) -> None:
        """Type and value are the same."""
        for value in self.values():
            back = again(value, self.codec, allow_pickle=self.pickles)
            assert exactly_equal(back, value), (value, back)

    def test_payloads_are_bytes_with_a_name(self) -> None:
        """The name leads back to the codec, and the length of each part is its number of bytes."""
        for value in self.values():
            payload = dump(value, self.codec)
            assert payload.codec == self.codec
            assert sum(map(len, payload.parts)) == len(b"".join(payload.parts))

    def test_values_are_independent_of_their_bytes(self) -> None:
        """What was loaded stays as it is when the payload is overwritten, unless it is a view of it."""
        if self.views:
            return
        for value in self.values():
            memory = bytearray(join(dump(value, self.codec)))
            back = load(self.codec, memoryview(memory).toreadonly())
            memory[:] = b"\xff" * len(memory)
            assert exactly_equal(back, value)

    def test_other_values_are_declined(self) -> None:
        """An error names the codec, the type and the remedy."""
        for value in self.declined():
            with pytest.raises(CacheError, match=rf"{self.codec}.* cannot store a value of type .*; use codec=None"):
                dump(value, self.codec)

    def test_pickle_is_told_and_refused(self) -> None:
        """A payload says whether it holds a pickle, and no pickle is written or loaded where that is not allowed."""
        for value in self.values():
            payload = dump(value, self.codec)
            assert payload.pickled == self.pickles
            if self.pickles:
                with pytest.raises(PickleRefusedError, match="allow_pickle"):
                    dump(value, self.codec, allow_pickle=False)
                with pytest.raises(PickleRefusedError, match="allow_pickle"):
                    load(self.codec, join(payload), allow_pickle=False)

    def test_truncated_bytes_are_refused(self) -> None:
        """A payload that ends too early is an error that says so, and never a value."""
        for value in self.values():
            data = join(dump(value, self.codec))
            for size in {*range(min(len(data), 200)), *range(0, len(data), 97)}:
                with pytest.raises((ValueError, CacheError)):
                    load(self.codec, data[:size])

    def test_damaged_bytes_are_refused_or_read(self) -> None:
        """Whatever byte is changed, there is a value or an error that says so: no other error, and no crash."""
        if self.pickles:  # what a damaged pickle does is for the checksum to prevent
            return
        generator = random.Random(0)
        for value in self.values():
            data = bytearray(join(dump(value, self.codec)))
            for _ in range(self.damages):
                damaged = bytearray(data)
                for _ in range(generator.choice((1, 1, 2, 5))):
                    # Structure stands at the beginning.
                    damaged[int(len(data) * generator.random() ** 2)] = generator.randrange(256)
                try:
                    load(self.codec, memoryview(damaged).toreadonly(), allow_pickle=False)
                except (ValueError, CacheError):
                    continue


HOSTILE_NAME = "jobs of 'me';\n\"$HOME\" é"
"""A folder that a careless shell command would break at."""


class ExecutorTests:
    """What every executor promises."""

    cluster: str
    remote = False
    """Whether calls run in other processes."""

    def executor(self, tmp_path: Path, max_jobs: int | None = None) -> Executor:
        return get_executor(self.cluster, folder=str(tmp_path / HOSTILE_NAME), max_jobs=max_jobs)

    def test_calls_run_and_end(self, tmp_path: Path) -> None:
        """Each call runs once; its handle says that it ended, and without an error."""
        paths = [tmp_path / str(number) for number in range(3)]
        handles = self.executor(tmp_path).submit([partial(calls.append, path, "x") for path in paths])

        assert [handle.wait(PATIENCE_S) for handle in handles] == [True] * 3
        assert [handle.done() for handle in handles] == [True] * 3
        assert [handle.status() for handle in handles] == ["completed"] * 3
        assert [handle.error() for handle in handles] == [None] * 3
        assert [path.read_text() for path in paths] == ["x"] * 3

    def test_no_calls_are_no_jobs(self, tmp_path: Path) -> None:
        """An empty array has no handles."""
        assert list(self.executor(tmp_path).submit([])) == []

    def test_calls_start_in_the_order_of_submission(self, tmp_path: Path) -> None:
        """One at a time, they run one after the other."""
        log = tmp_path / "log"
        executor = self.executor(tmp_path, max_jobs=1)
        handles = executor.submit([partial(calls.append, log, str(number)) for number in range(4)])

        assert all(handle.wait(PATIENCE_S) for handle in handles)
        assert log.read_text() == "0123"

    def test_never_more_than_max_jobs_at_once(self, tmp_path: Path) -> None:
        """Of four calls that overlap if they can, no more than max_jobs see each other."""
        names = [str(number) for number in range(4)]
        handles = self.executor(tmp_path).submit(
            [partial(calls.count_running, tmp_path, name) for name in names], max_jobs=2
        )

        assert all(handle.wait(PATIENCE_S) for handle in handles)
        assert max(int((tmp_path / f"seen-{name}").read_text()) for name in names) <= 2

    def test_errors_come_back_by_type(self, tmp_path: Path) -> None:
        """What a call raised is what its handle has, as its own type; the others are not touched."""
        handles = self.executor(tmp_path).submit(
            [partial(calls.fail, calls.OneArgumentError("why")), calls.nothing, partial(calls.fail, KeyError(3))]
        )
        assert all(handle.wait(PATIENCE_S) for handle in handles)

        error = handles[0].error()
        assert type(error) is calls.OneArgumentError
        assert str(error) == "why"
        assert error is handles[0].error()
        assert [handle.status() for handle in handles] == ["failed", "completed", "failed"]
        assert repr(handles[2].error()) == "KeyError(3)"

    def test_remote_errors_tell_where_they_were_raised(self, tmp_path: Path) -> None:
        """The traceback shows the user's frames: in a note, where the call ran in another process."""
        handle = self.executor(tmp_path).submit([partial(calls.fail, ValueError("why"))])[0]
        handle.wait(PATIENCE_S)

        error = handle.error()
        assert error is not None
        text = "".join(traceback.format_exception(error))
        assert "in fail" in text
        assert ("Raised in " in text) == self.remote

    def test_errors_that_do_not_unpickle_are_told(self, tmp_path: Path) -> None:
        """From another process they come as a ComputeError with type name and traceback."""
        handle = self.executor(tmp_path).submit([calls.fail_with_two_arguments])[0]
        handle.wait(PATIENCE_S)

        error = handle.error()
        if self.remote:
            assert isinstance(error, ComputeError)
            assert error.type_name == "tests.executors.calls.TwoArgumentsError"
            assert "in fail_with_two_arguments" in error.remote_traceback
        else:
            assert type(error) is calls.TwoArgumentsError
        assert "this and that" in str(error)

    def test_calls_may_use_the_same_cluster(self, tmp_path: Path) -> None:
        """As many calls as there are places, each waiting for a call of its own, come to an end."""
        count = min(usable_cores(), 4) if self.cluster != "local" else 1
        handles = self.executor(tmp_path).submit([partial(calls.run_nested, self.cluster, tmp_path)] * count)

        assert all(handle.wait(PATIENCE_S) for handle in handles)
        assert [handle.error() for handle in handles] == [None] * count

    def test_random_states_are_left_alone(self, tmp_path: Path) -> None:
        """Submitting draws nothing from `random` and numpy, and seeds neither."""
        before = random.getstate(), np.random.get_state(legacy=False)
        self.executor(tmp_path).submit([calls.nothing])[0].wait(PATIENCE_S)

        assert random.getstate() == before[0]
        assert repr(np.random.get_state(legacy=False)) == repr(before[1])

    def test_classes_of_the_main_program_travel(self, tmp_path: Path) -> None:
        """A script's own classes and errors work, the script runs once, and its end is clean."""
        script = tmp_path / "script.py"
        script.write_text(MAIN_SCRIPT)
        run = subprocess.run(
            [sys.executable, "-W", "error", script, self.cluster],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

        assert (run.stderr, run.returncode) == ("", 0)
        assert run.stdout.splitlines() == ["main", "OwnError", "True"]


class QueuedExecutorTests(ExecutorTests):
    """What executors promise whose calls wait for a place, and run beside the submitter."""

    def test_waiting_has_a_limit(self, tmp_path: Path) -> None:
        """`wait` gives up after its timeout, and says so."""
        handle = self.executor(tmp_path).submit([partial(calls.hold, tmp_path / "started", tmp_path / "go")])[0]

        assert not handle.wait(0.01)
        assert not handle.done()
        assert handle.error() is None
        (tmp_path / "go").touch()
        assert handle.wait(PATIENCE_S)

    def test_a_cancelled_call_that_waits_never_starts(self, tmp_path: Path) -> None:
        """It is cancelled at once, though the queue is busy, and those behind it run."""
        first, second, third = self.executor(tmp_path).submit(
            [
                partial(calls.hold, tmp_path / "started", tmp_path / "go"),
                partial(calls.write, tmp_path / "second"),
                partial(calls.write, tmp_path / "third"),
            ],
            max_jobs=1,
        )
        calls.until((tmp_path / "started").exists)
        assert (first.status(), second.status()) == ("running", "queued")

        second.cancel()
        assert second.wait(0)
        assert second.status() == "cancelled"
        assert isinstance(second.error(), JobLostError)
        (tmp_path / "go").touch()
        assert first.wait(PATIENCE_S)
        assert third.wait(PATIENCE_S)
        assert (first.status(), second.status(), third.status()) == ("completed", "cancelled", "completed")
        assert not (tmp_path / "second").exists()

    def test_a_call_that_waits_for_one_behind_it_lends_its_place(self, tmp_path: Path) -> None:
        """Calls that fill all places and wait for one in the queue do not stop it."""
        executor = self.executor(tmp_path, max_jobs=1)
        handles = executor.submit([partial(calls.wait_for_file, tmp_path / "file"), Write(tmp_path / "file")])

        assert all(handle.wait(PATIENCE_S) for handle in handles)
        assert [handle.error() for handle in handles] == [None, None]


class ProcessExecutorTests(QueuedExecutorTests):
    """What executors promise whose calls run in processes of their own."""

    remote = True

    def test_what_does_not_pickle_is_refused_at_once(self, tmp_path: Path) -> None:
        """A call that cannot travel is refused when it is submitted, with a remedy, and no other starts."""
        with (tmp_path / "file").open("w") as file, pytest.raises(InfraError, match=r"does not pickle.*\n.*threadpool"):
            self.executor(tmp_path).submit([partial(calls.write, tmp_path / "first"), partial(print, file=file)])
        assert not (tmp_path / "first").exists()

    def test_a_running_call_can_be_cancelled(self, tmp_path: Path) -> None:
        """It stops where that is possible, and cancelling what has ended changes nothing."""
        handle = self.executor(tmp_path).submit([partial(calls.hold, tmp_path / "started", tmp_path / "go")])[0]
        calls.until((tmp_path / "started").exists)

        handle.cancel()
        assert handle.wait(PATIENCE_S)
        handle.cancel()
        assert handle.status() == "cancelled"
        with pytest.raises(JobLostError, match="cancelled"):
            calls.fail(handle.error() or AssertionError("no error"))

    def test_a_killed_process_is_a_lost_job(self, tmp_path: Path) -> None:
        """kill -9 of the process of a call is noticed and told; other calls, running or queued, are not lost."""
        handles = self.executor(tmp_path).submit(
            [
                partial(calls.die, signal.SIGKILL),
                *(partial(calls.write, tmp_path / str(number)) for number in range(3)),
            ]
        )
        assert all(handle.wait(PATIENCE_S) for handle in handles)

        error = handles[0].error()
        assert isinstance(error, JobLostError)
        assert "killed by SIGKILL (out of memory, or kill -9)" in str(error)
        assert [handle.status() for handle in handles] == ["failed"] + ["completed"] * 3


MAIN_SCRIPT = '''
"""Not protected by `if __name__ == "__main__"`, as a notebook is not."""
import pathlib
import sys

from cachedmodel.executors import get_executor

print("main")


class OwnError(Exception):
    pass


class Call:
    def __init__(self, number):
        self.number = number

    def __call__(self):
        if self.number == 3:
            raise OwnError()
        pathlib.Path(str(self.number)).touch()


def made_in_a_function():
    class Inner(Call):
        pass

    return Inner(2)


handles = get_executor(sys.argv[1], folder="jobs").submit([Call(1), made_in_a_function(), Call(3)])
for handle in handles:
    handle.wait()
print(*(type(handle.error()).__name__ for handle in handles if handle.error()))
print(isinstance(handles[2].error(), OwnError) and pathlib.Path("1").exists() and pathlib.Path("2").exists())
'''
