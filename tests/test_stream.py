"""Maps on every cluster: streamed in order, each item once, failures pinned to their item, and nothing left behind."""

from __future__ import annotations

import gc
import itertools
import os
import pty
import subprocess
import sys
import termios
import threading
import typing as tp
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import cachedmodel as cm
from tests.executors.calls import until
from tests.experiment import EVERY, QUEUED, QUICK, OwnError, experiment, note, notes

every = pytest.mark.parametrize("cluster", EVERY)
quick = pytest.mark.parametrize("cluster", QUICK)
inline = pytest.mark.parametrize("cluster", [None, "debug"])


@every
def test_outputs_come_in_the_order_of_the_items(cluster: str | None, tmp_path: Path) -> None:
    """Whatever is cached already, however often an item comes; each is computed once."""
    xp = experiment(tmp_path, cluster)
    assert list(xp.doubles([4])) == [8]

    assert list(xp.doubles([3, 4, 1, 3, 2])) == [6, 8, 2, 6, 4]
    assert list(experiment(tmp_path, cluster).doubles(iter([1, 2, 3]))) == [2, 4, 6]
    assert sorted(notes(tmp_path)) == ["1", "2", "3", "4"]
    assert list(xp.doubles([])) == []


@every
def test_an_output_comes_before_the_next_is_computed(cluster: str | None, tmp_path: Path) -> None:
    """The second item is only released once the first was received, and so on."""
    settings: tp.Any = {} if cluster in (None, "debug") else {"max_jobs": 1}
    outputs = experiment(tmp_path, cluster, acts=dict.fromkeys(range(1, 5), "hold"), **settings).doubles([1, 2, 3, 4])

    for n in range(1, 5):
        (tmp_path / f"go-{n}").touch()
        assert next(outputs) == 2 * n


@inline
def test_quick_items_do_not_wait_for_slow_ones(cluster: str | None, tmp_path: Path) -> None:
    """Of items that come in a moment, each is handed out before the next is computed, also after many of them."""
    outputs = experiment(tmp_path, cluster, acts={30: "hold"}).doubles(range(40))

    assert list(itertools.islice(outputs, 30)) == [2 * n for n in range(30)]
    assert not (tmp_path / "started-30").exists()
    (tmp_path / "go-30").touch()
    assert list(outputs) == [2 * n for n in range(30, 40)]


@quick
def test_endless_iterables(cluster: str | None, tmp_path: Path) -> None:
    """Items are pulled as outputs are consumed, some ahead."""
    pulled = []

    def items() -> Iterator[int]:
        for n in itertools.count():
            pulled.append(n)
            yield n

    outputs = experiment(tmp_path, cluster, chunk_size=8).doubles(items())
    assert list(itertools.islice(outputs, 100)) == [2 * n for n in range(100)]
    assert 100 <= len(pulled) <= 200


@inline
def test_nothing_is_pulled_before_it_is_asked_for(cluster: str | None, tmp_path: Path) -> None:
    """In this process, calling a map does nothing yet."""
    items = iter([1, 2])
    outputs = experiment(tmp_path, cluster).doubles(items)
    assert notes(tmp_path) == []
    del outputs
    assert list(items) == [1, 2]


class Blobs(cm.CachedModel):
    @cm.map(item_uid=str)
    def blobs(self, items: Iterable[int]) -> Iterator[bytes]:
        for _ in items:
            yield bytes(1 << 22)


class Tracked:
    """A value whose life can be followed."""

    alive: tp.ClassVar[weakref.WeakSet[Tracked]] = weakref.WeakSet()

    def __init__(self) -> None:
        self.alive.add(self)

    def __setstate__(self, state: object) -> None:
        self.alive.add(self)

    def __getstate__(self) -> tuple[int]:
        return (1,)


class Tracking(cm.CachedModel):
    @cm.map(item_uid=str)
    def track(self, items: Iterable[int]) -> Iterator[Tracked]:
        for _ in items:
            yield Tracked()


@pytest.mark.parametrize("cluster", [None, "threadpool"])
def test_outputs_that_were_handed_out_are_let_go(cluster: str | None, tmp_path: Path) -> None:
    """However many there are, few are in memory."""
    outputs = Tracking(infra={"folder": tmp_path, "cluster": cluster, "chunk_size": 16}).track(range(400))
    most = max(len(Tracked.alive) for _ in outputs)
    assert most <= (20 if cluster is None else 200)


def test_large_values_are_read_few_at_a_time(tmp_path: Path) -> None:
    """What is stored is not all read at once."""
    import tracemalloc

    xp = Blobs(infra={"folder": tmp_path})
    assert sum(map(len, xp.blobs(range(20)))) == 20 << 22
    tracemalloc.start()
    assert sum(map(len, xp.blobs(range(20)))) == 20 << 22
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 22


@every
def test_a_failing_item_does_not_stop_the_others(cluster: str | None, tmp_path: Path) -> None:
    """Those before it are given, then all errors at once, each naming its item; all others are stored."""
    xp = experiment(tmp_path, cluster, acts={2: "fail", 4: "fail"})
    outputs = xp.doubles([1, 2, 3, 4, 5])

    assert next(outputs) == 2
    with pytest.raises(cm.ItemErrors, match=r"2 item\(s\) of .*doubles failed") as caught:
        next(outputs)
    assert [(type(error), str(error)) for error in caught.value.exceptions] == [(OwnError, "2"), (OwnError, "4")]
    assert any("item '4'" in text for text in caught.value.exceptions[1].__notes__)
    assert dict(xp.doubles.cache) == {"1": 2, "3": 6, "5": 10}
    assert xp.doubles.plan([1, 2, 6]) == cm.Plan(cached=[1], running=[], failed=[2], missing=[6])
    notes(tmp_path)

    with pytest.raises(cm.ItemErrors):
        list(xp.doubles([5, 4]))
    assert notes(tmp_path) == []


@every
def test_errors_may_be_returned(cluster: str | None, tmp_path: Path) -> None:
    """Each in the place of its item."""
    xp = experiment(tmp_path, cluster, acts={2: "fail"})
    one, error, three = xp.doubles([1, 2, 3], on_error="return")
    assert (one, three) == (2, 6)
    assert isinstance(error, OwnError)


def test_a_wrong_call_is_refused(tmp_path: Path) -> None:
    """By the call itself, and nothing else is told."""
    xp = experiment(tmp_path)
    with pytest.raises(TypeError, match="'int' object is not iterable"):
        xp.doubles(tp.cast("list[int]", 3))
    gc.collect()
    with pytest.raises(ValueError, match="on_error='skip': it is 'raise' or 'return'"):
        xp.doubles([1], on_error=tp.cast("tp.Literal['return']", "skip"))


@quick
def test_an_endless_input_raises_at_the_failure(cluster: str | None, tmp_path: Path) -> None:
    """There is no end to wait for."""
    outputs = experiment(tmp_path, cluster, acts={3: "fail"}, chunk_size=4).doubles(itertools.count())
    received: list[object] = []
    with pytest.raises(cm.ItemErrors, match=r"1 item\(s\)"):
        received.extend(outputs)
    assert received == [0, 2, 4]


@every
def test_retry_computes_failed_items_again(cluster: str | None, tmp_path: Path) -> None:
    """Only those."""
    list(experiment(tmp_path, cluster, acts={2: "fail"}).doubles([1, 2, 3], on_error="return"))
    notes(tmp_path)
    (tmp_path / "repaired").touch()

    assert list(experiment(tmp_path, cluster, mode="retry").doubles([1, 2, 3])) == [2, 4, 6]
    assert notes(tmp_path) == ["2"]


class Batches(cm.CachedModel):
    """Works on all its items at once.

    Attributes
    ----------
    wrong
        How many outputs more or less than items.
    bad
        An item that fails, and all with it.
    """

    place: tp.Annotated[Path, cm.NotInUid]
    wrong: int = 0
    bad: int = -1

    @cm.map(item_uid=str)
    def totals(self, items: Iterable[int]) -> Iterator[int]:
        numbers = list(items)
        note(self.place, ",".join(map(str, numbers)))
        if self.bad in numbers:
            raise OwnError(self.bad)
        yield from [2 * n for n in numbers] + [0] * self.wrong if self.wrong >= 0 else numbers[: self.wrong]

    @cm.map(item_uid=str)
    def nothing(self, items: Iterable[int]) -> Iterator[int]:
        return tp.cast("Iterator[int]", None)


@every
def test_only_a_failure_alone_is_recorded(cluster: str | None, tmp_path: Path) -> None:
    """A batch that fails is run again from its first item, alone; then the rest goes on."""
    xp = Batches(
        place=tmp_path, bad=2, infra={"folder": tmp_path / "cache", "cluster": cluster, "min_items_per_job": 9}
    )
    outputs = list(xp.totals([1, 2, 3], on_error="return"))

    assert [outputs[0], repr(outputs[1]), outputs[2]] == [2, "OwnError(2)", 6]
    assert notes(tmp_path) == ["1,2,3", "1", "2,3", "2", "3"]
    assert xp.totals.plan([1, 2, 3]) == cm.Plan(cached=[1, 3], running=[], failed=[2], missing=[])


@pytest.mark.parametrize(("wrong", "message"), [(-1, "gave only 2 outputs for 3 items"), (1, "gave more outputs than")])
@every
def test_miscounted_outputs_are_refused(cluster: str | None, wrong: int, message: str, tmp_path: Path) -> None:
    """Too few or too many: the error says which, and nothing stays cached."""
    xp = Batches(
        place=tmp_path, wrong=wrong, infra={"folder": tmp_path / "cache", "cluster": cluster, "min_items_per_job": 9}
    )
    for _ in range(2):
        with pytest.raises(cm.ComputeError, match=message):
            list(xp.totals([1, 2, 3]))
    assert len(xp.totals.cache) == 0
    assert len(notes(tmp_path)) == 2


@quick
def test_no_iterable_is_refused(cluster: str | None, tmp_path: Path) -> None:
    """A map that forgets to yield is told so, and nothing is recorded."""
    xp = Batches(place=tmp_path, infra={"folder": tmp_path / "cache", "cluster": cluster})
    with pytest.raises(cm.ComputeError, match="gave None where an iterable of outputs was expected"):
        list(xp.nothing([1]))
    assert xp.nothing.plan([1]).missing == [1]


@quick
def test_items_need_a_string_for_a_uid(cluster: str | None, tmp_path: Path) -> None:
    """It is told before anything is computed."""
    xp = Numbered(place=tmp_path, infra={"folder": tmp_path / "cache", "cluster": cluster})
    with pytest.raises(cm.UidError, match=r"gave 2 \(int\) for the item 2"):
        list(xp.same([1, 2]))
    assert notes(tmp_path) == []


def odd_uid(item: int) -> tp.Any:
    """A string for odd items only."""
    return str(item) if item % 2 else item


class Numbered(cm.CachedModel):
    place: tp.Annotated[Path, cm.NotInUid]

    @cm.map(item_uid=odd_uid)
    def same(self, items: Iterable[int]) -> Iterator[int]:
        for item in items:
            note(self.place, str(item))
            yield item


@every
def test_what_breaks_the_items_is_raised_after_the_outputs_before(cluster: str | None, tmp_path: Path) -> None:
    """In this process and its pools; for jobs all items are read first."""

    def items() -> Iterator[int]:
        yield from (1, 2)
        raise OwnError("the source")

    outputs: list[object] = []
    with pytest.raises(OwnError, match="the source"):
        outputs.extend(experiment(tmp_path, cluster).doubles(items()))
    assert sorted(notes(tmp_path)) == ([] if cluster == "local" else ["1", "2"])


@quick
def test_a_single_item_may_be_forbidden(cluster: str | None, tmp_path: Path) -> None:
    """A guard for maps that are to be computed beforehand: of a single missing item, not of what is left of many."""
    xp = experiment(tmp_path, cluster, forbid_single_item_computation=True, chunk_size=2)
    with pytest.raises(cm.MissingError, match=r"item '7' of .* forbids"):
        list(xp.doubles([7]))
    assert list(xp.doubles([1, 2, 3, 4, 5])) == [2, 4, 6, 8, 10]
    assert list(xp.doubles([5])) == [10]
    assert xp.double() == 2


@pytest.mark.parametrize("cluster", [None, "threadpool", "processpool"])
def test_a_dropped_iterator_stops_and_lets_go(cluster: str | None, tmp_path: Path) -> None:
    """Another process can compute at once what it had claimed."""
    settings: tp.Any = {"max_jobs": 1} if cluster else {}
    outputs = experiment(tmp_path, cluster, acts={2: "hold"}, **settings).doubles([1, 2, 3, 4])
    assert next(outputs) == 2
    (tmp_path / "go-2").touch()  # a thread cannot be stopped within an item
    del outputs

    script = "import sys; from pathlib import Path; from tests.experiment import experiment\n"
    script += "print(*experiment(Path(sys.argv[1])).doubles([4, 3, 2, 1]))"
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.stderr) == ("8 6 4 2\n", "")


@pytest.mark.parametrize("cluster", ["threadpool", "processpool"])
def test_a_dropped_iterator_that_was_never_asked_stops(cluster: str, tmp_path: Path) -> None:
    """What was submitted by calling the map does not go on for ever."""
    xp = experiment(tmp_path, cluster, acts=dict.fromkeys(range(500), "hold"), max_jobs=1)
    outputs = xp.doubles(itertools.count())
    until((tmp_path / "started-0").exists)
    del outputs
    (tmp_path / "go-0").touch()
    until(lambda: not xp.doubles.plan([0, 1, 2]).running)
    assert not (tmp_path / "started-2").exists()


@pytest.mark.parametrize("cluster", ["threadpool", "processpool"])
def test_who_shares_the_items_of_a_dropped_iterator_goes_on(cluster: str, tmp_path: Path) -> None:
    """They compute what was given up."""
    xp = experiment(tmp_path, cluster, acts={2: "hold"}, max_jobs=1)
    first = xp.doubles([1, 2, 3])
    assert next(first) == 2
    second = xp.doubles([2, 3])
    until((tmp_path / "started-2").exists)
    del first
    (tmp_path / "go-2").touch()
    assert list(second) == [4, 6]


def test_an_iterator_leaves_no_cycle(tmp_path: Path) -> None:
    """It stops when the last reference goes, not when the garbage is collected."""
    gc.disable()
    try:
        outputs = experiment(tmp_path).doubles(range(100))
        next(outputs)
        del outputs
        assert experiment(tmp_path).doubles.plan(range(100)).running == []
    finally:
        gc.enable()


@inline
def test_iterators_over_the_same_items_take_turns(cluster: str | None, tmp_path: Path) -> None:
    """In one thread, each item is computed once, whichever iterator asks first."""
    xp = experiment(tmp_path, cluster)
    first, second = xp.doubles([1, 2, 3, 4]), experiment(tmp_path, cluster).doubles([3, 2, 5, 1])

    assert next(first) == 2
    assert next(second) == 6
    assert next(first) == 4
    assert list(second) == [4, 10, 2]
    assert list(first) == [6, 8]
    assert sorted(notes(tmp_path)) == ["1", "2", "3", "4", "5"]


@quick
def test_threads_share_their_items(cluster: str | None, tmp_path: Path) -> None:
    """Several threads over overlapping items compute each once, and all get all."""
    received: dict[int, list[object]] = {}

    def consume(start: int) -> None:
        received[start] = list(experiment(tmp_path, cluster, chunk_size=5).doubles(range(start, start + 40)))

    experiment(tmp_path, cluster).doubles.uid_folder(create=True)
    threads = [threading.Thread(target=consume, args=(start,)) for start in (0, 10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert received == {start: [2 * n for n in range(start, start + 40)] for start in (0, 10, 20)}
    assert sorted(map(int, notes(tmp_path))) == list(range(60))


@pytest.mark.parametrize("cluster", [None, pytest.param("threadpool", marks=pytest.mark.slow)])
def test_processes_share_their_items(cluster: str | None, tmp_path: Path) -> None:
    """Several processes over overlapping items compute each once."""
    script = (
        "import sys; from pathlib import Path; from tests.experiment import experiment\n"
        "start, cluster = int(sys.argv[2]), sys.argv[3] if sys.argv[3] != 'None' else None\n"
        "xp = experiment(Path(sys.argv[1]), cluster, chunk_size=7)\n"
        "assert list(xp.doubles(range(start, start + 60))) == [2 * n for n in range(start, start + 60)]"
    )
    processes = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", script, str(tmp_path), str(start), str(cluster)])
        for start in (0, 20, 40)
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert sorted(map(int, notes(tmp_path))) == list(range(100))


@pytest.mark.parametrize("cluster", QUEUED)
def test_a_lost_chunk_is_nobodys_result(cluster: str, tmp_path: Path) -> None:
    """It is raised for its item; what was computed stays, and the next call computes the rest."""
    if cluster == "threadpool":
        pytest.skip("would kill this process")
    xp = experiment(tmp_path, cluster, acts={3: "die"}, min_items_per_job=9)
    outputs = xp.doubles([1, 2, 3, 4])
    with pytest.raises(cm.JobLostError, match="SIGKILL"):
        list(outputs)
    assert xp.doubles.plan([3, 4]).missing == [3, 4]
    (tmp_path / "repaired").touch()
    assert list(xp.doubles([1, 2, 3, 4])) == [2, 4, 6, 8]


@pytest.mark.parametrize("cluster", [None, "threadpool"])
def test_what_cannot_be_stored_is_still_given(cluster: str | None, tmp_path: Path) -> None:
    """With a warning; the others are stored."""
    xp = experiment(tmp_path, cluster, acts={2: "lambda"})
    with pytest.warns(RuntimeWarning, match=r"item '2' of .* was computed but cannot be stored"):
        one, file, three = xp.doubles([1, 2, 3])
    tp.cast(tp.TextIO, file).close()
    assert (one, three) == (2, 6)
    assert xp.doubles.plan([1, 2, 3]) == cm.Plan(cached=[1, 3], running=[], failed=[], missing=[2])


@pytest.mark.parametrize("cluster", ["processpool", pytest.param("local", marks=pytest.mark.slow)])
def test_a_job_cannot_hand_over_what_cannot_be_stored(cluster: str, tmp_path: Path) -> None:
    """It is an error of that item, which is not recorded; the others are stored."""
    xp = experiment(tmp_path, cluster, acts={2: "lambda"}, min_items_per_job=9)
    one, error, three = xp.doubles([1, 2, 3], on_error="return")
    assert (one, three) == (2, 6)
    assert isinstance(error, cm.CacheError)
    assert xp.doubles.plan([1, 2, 3]) == cm.Plan(cached=[1, 3], running=[], failed=[], missing=[2])


def test_the_method_is_called_with_lists_of_what_is_missing(tmp_path: Path) -> None:
    """At most chunk_size items, missing ones only."""
    xp = Batches(place=tmp_path, infra={"folder": tmp_path / "cache", "chunk_size": 3})
    list(xp.totals([2, 4]))
    assert list(xp.totals(range(8))) == [2 * n for n in range(8)]
    assert notes(tmp_path) == ["2,4", "0,1", "3,5", "6,7"]


@pytest.mark.parametrize("progress", [True, False])
def test_a_bar_is_shown_at_terminals(progress: bool, tmp_path: Path) -> None:
    """On a long map, unless it is switched off."""
    text = on_terminal(tmp_path, f"progress={progress}")
    assert ("doubles:" in text) == progress
    assert "[2, 4]" in text


def test_no_bar_where_there_is_no_terminal(tmp_path: Path) -> None:
    """Nothing is written, and tqdm is not imported."""
    run = subprocess.run(
        [sys.executable, "-c", BAR_SCRIPT.format(settings="progress=True"), str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert (run.stdout, run.stderr) == ("[2, 4]\nFalse\n", "")


BAR_SCRIPT = """
import sys, threading, time
from pathlib import Path
from tests.executors.calls import until
from tests.experiment import experiment
place = Path(sys.argv[1])
def release():
    until((place / "started-2").exists)
    time.sleep(1.2)  # longer than what needs no bar
    (place / "go-2").touch()
threading.Thread(target=release).start()
print(list(experiment(place, acts={{2: "hold"}}, {settings}).doubles([1, 2])))
print("tqdm" in sys.modules)
"""


def on_terminal(place: Path, settings: str) -> str:
    """What a script shows at a terminal."""
    mine, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 80))
    command = [sys.executable, "-c", BAR_SCRIPT.format(settings=settings), str(place)]
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its) as process:
        os.close(its)
        data = b""
        while True:
            try:
                part = os.read(mine, 4096)
            except OSError:  # the other end was closed
                break
            if not part:
                break
            data += part
        process.wait(60)
    os.close(mine)
    return data.decode()
