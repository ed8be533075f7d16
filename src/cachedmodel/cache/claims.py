"""Claims: small files that say who computes what, so that it is computed once.

A claim is a file `.claim-<number>`, made with link(2) under the number after the highest that is seen; one of two
that try the same wins. It never changes: it names its keeper and the keys (as 128-bit hashes), and ends when it is
removed or its keeper is dead. Taking over is making the next number; only who holds a higher number removes the
claim of a dead.

In the folder of a map numbers never go back: the highest file stays, replaced by one without keys. So what was read of
a file stays true, and a number that is still the highest after it was made proves that all before it were seen; one
that others have passed and removed meanwhile does not. In the folder of a task nothing stays, so files are read anew
each time, and a claim that is not alone afterwards is withdrawn.

Claims are a hint, not a fence: what is published is published atomically all the same.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import compress, repeat

from .claimfile import PREFIX, Claim, digests, pack, read
from .files import discard, look_anew, names_in, publish_first
from .lives import Keeper, lives_here, lives_of, me
from .options import Options
from .shard import SETTLED_S
from .writer import ABANDONED_S

#: Seconds for which a number that is taken, but that no listing shows yet, is waited for.
_PATIENCE_S = 15.0
#: Seconds between two looks whether the keeper of a claim that is in nobody's way is dead.
_JUDGE_S = 60.0


class Claims:
    """The claims of one folder. The caller holds the lock of the cache."""

    def __init__(self, folder: str, root: str, *, single: bool) -> None:
        self._folder = folder
        self._root = root
        self._single = single
        #: The names in the folder, as last seen: after a claim was made, later than the claim.
        self.listing: list[str] = []
        #: Claims by number, as last seen.
        self._files: dict[int, Claim] = {}
        #: Digest -> number of the newest claim on it; and claims made here that are not in it yet: most never need to be.
        self._newest: dict[bytes, int] = {}
        self._unindexed: set[int] = set()
        #: True if a key may be in several claims, as it is while one is handed or taken over.
        self._overlapping = False
        #: Keys that this process holds -> number of the claim; and how many are left in each claim.
        self._mine: dict[str, int] = {}
        self._left: dict[int, int] = {}
        #: Claims of this process that have no keys left.
        self._over: list[int] = []
        #: Whether what was taken last had been claimed by somebody who is dead, as far as can be told.
        self.took_over: bool = False
        self._job_states: dict[Keeper, bool] = {}
        #: When it was last asked whether the keeper of a claim lives, to tidy up.
        self._judged: dict[int, float] = {}

    def not_mine(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys, in order and once, that this process does not hold."""
        mine, unique = self._mine, dict.fromkeys(keys)
        return [*unique] if mine.keys().isdisjoint(unique) else [key for key in unique if key not in mine]

    # -- looking

    def refresh(self) -> None:
        """Looks which claims there are."""
        numbers = self._numbers()
        if self._single or (self._files and max(numbers, default=0) < max(self._files)):
            self._files.clear()  # a task's folder, one made anew, or an old listing: numbers mean nothing
            self._newest.clear()
            self._unindexed.clear()
            self._overlapping = False
        half = {number for number, claim in self._files.items() if claim.is_unread}
        for number in (self._files.keys() - numbers) | half:
            self._forget_claim(number)
        for number in sorted(numbers - self._files.keys()):
            with contextlib.suppress(OSError):
                self._files[number] = self._read(number)
                self._index([number])

    def _read(self, number: int) -> Claim:
        try:
            return read(self._path(number))
        except FileNotFoundError:  # it ended just now, or a mount believes that it is not there yet
            look_anew(self._path(number))
            return read(self._path(number))

    def _numbers(self) -> set[int]:
        """The numbers of the claims that are in the folder now."""
        self.listing = names_in(self._folder)
        tails = [name[len(PREFIX) :] for name in self.listing if name.startswith(PREFIX)]
        return {int(tail) for tail in tails if tail.isdecimal()}

    def _index(self, numbers: Iterable[int]) -> None:
        for number in sorted(numbers):
            hashed = self._files[number].digests
            if not self._newest.keys().isdisjoint(hashed):
                self._overlapping = True
                hashed = [key for key in hashed if self._newest.get(key, 0) < number]
            self._newest.update(dict.fromkeys(hashed, number))
            self._unindexed.discard(number)

    def _forget_claim(self, number: int) -> None:
        claim = self._files.pop(number)
        self._judged.pop(number, None)
        if number in self._unindexed:
            self._unindexed.discard(number)
        elif self._overlapping:
            # An older claim on the same keys may count again.
            self._newest.clear()
            self._overlapping = False
            self._index(self._files)
        else:
            for key in claim.digests:
                if self._newest.get(key) == number:
                    del self._newest[key]

    def _path(self, number: int) -> str:
        return f"{self._folder}/{PREFIX}{number:08d}"

    def holders(self, keys: Sequence[str], options: Options) -> dict[str, Keeper]:
        """The living keepers of these keys, as of the last refresh."""
        living, _ = self._judge(digests(keys), options)
        return {key: self._files[number].keeper for key, number in zip(keys, living, strict=True) if number is not None}

    def _judge(self, hashed: Sequence[bytes], options: Options) -> tuple[list[int | None], set[int]]:
        """Number of the living claim on each of the keys; and numbers of claims of the dead on some of them."""
        self._index(self._unindexed)
        newest, unread = self._newest, [number for number, claim in self._files.items() if claim.is_unread]
        if not unread and newest.keys().isdisjoint(hashed):
            return [None] * len(hashed), set()
        dead = {number for number in unread if not self._lives(number, options)}
        # One that cannot be read yet may be about anything.
        pending = next((number for number in unread if number not in dead), None)
        on = [newest.get(key, pending) for key in hashed]
        dead.update([number for number in {*on} - {None, pending} if number and not self._lives(number, options)])
        return [None if number in dead else number for number in on], dead

    def _lives(self, number: int, options: Options) -> bool:
        """Whether a claim holds; one that cannot be read does for as long as it may take to write it."""
        claim = self._files[number]
        if claim.is_unread and self._is_older(number, SETTLED_S):
            return False
        return self._is_alive(claim.keeper, options)

    def _is_older(self, number: int, seconds: float) -> bool:
        """Whether the file of a claim was made longer ago; False if it is gone."""
        try:
            return abs(time.time() - os.stat(self._path(number)).st_mtime) > seconds
        except OSError:
            return False

    def _is_alive(self, keeper: Keeper, options: Options) -> bool:
        if keeper.kind == "process":
            return lives_of(self._root).is_alive(keeper, options.lease_s)
        answer = None
        if options.job_alive is not None:
            answer = options.job_alive(keeper.scheduler, keeper.job_id, keeper.submitted)
        if answer is None:
            return self._job_states.get(keeper, True)
        self._job_states[keeper] = answer
        return answer

    # -- taking and ending

    def take(self, keys: Sequence[str], options: Options, heir_of: str = "") -> list[str]:
        """Claims those of the keys that no living keeper but `heir_of` holds; OSError if files cannot be made here."""
        lives = lives_of(self._root)
        hashed = digests(keys)
        began, delay = time.monotonic(), 0.001
        while True:
            self.refresh()
            free, chosen, dead = [*keys], hashed, set[int]()
            if not self._are_all_held():
                living, dead = self._judge(hashed, options)
                is_free = [number is None or self._files[number].keeper.is_process(heir_of) for number in living]
                free, chosen = [*compress(keys, is_free)], [*compress(hashed, is_free)]
            if not free or time.monotonic() - began > _PATIENCE_S:
                return []
            lives.hold(options.lease_s, options.permissions)
            try:
                number = self._make(me(), chosen, options)
            except BaseException:
                lives.let_go()
                raise
            if number is not None:
                break
            lives.let_go()
            time.sleep(delay)
            delay = min(2 * delay, 0.1)
        self._left[number] = len(free)
        self._mine.update(dict.fromkeys(free, number))
        self.took_over = bool(dead)
        self._bury(dead, number, options)
        if self._single and self._is_contended(number, options, heir_of):
            self.end(free, options)
            return []
        self._sweep(number, options)
        return free

    def _are_all_held(self) -> bool:
        """Whether all claims were made here, on keys that this process still holds: who asks for others need not look."""
        files, left = self._files, self._left
        return files.keys() <= self._unindexed and all(
            left.get(number, 0) == len(claim.digests) for number, claim in files.items()
        )

    def _make(self, keeper: Keeper, hashed: list[bytes], options: Options) -> int | None:
        """The number of a new claim; None if somebody else was first."""
        number = max(self._files, default=0) + 1
        path, claim = self._path(number), pack(keeper, hashed)
        is_first = None
        if self._single and keeper.is_me:
            is_first = lives_of(self._root).claim_task(path, claim, options.permissions)
        if is_first is None:
            is_first = publish_first(path, [claim], options.permissions)
        if not is_first:
            return None
        if not self._single and max(self._numbers(), default=number) > number:
            discard(self._path(number))  # others went past this number while it was not there
            return None
        self._files[number] = Claim(keeper, hashed)
        if keeper.is_me:
            self._unindexed.add(number)
        else:
            self._index([number])
        return number

    def _bury(self, dead: set[int], mine: int, options: Options) -> None:
        """Removes claims of the dead that were taken over."""
        for number in dead:
            claim = self._files.get(number)
            if claim is not None and number < mine and not self._lives(number, options):
                if claim.keeper.kind == "process":
                    lives_of(self._root).bury(claim.keeper)
                self._remove(number)

    def _is_contended(self, mine: int, options: Options, heir_of: str) -> bool:
        """In a task's folder numbers begin anew: somebody may have begun below, or gone on above, our claim."""
        if self._numbers() <= {mine}:
            return False
        self.refresh()
        others = [
            number for number, claim in self._files.items() if number != mine and not claim.keeper.is_process(heir_of)
        ]
        return any(self._lives(number, options) for number in others)

    def _sweep(self, mine: int, options: Options) -> None:
        """Removes what is over, now that a higher number is there: own claims, files without keys, and the dead."""
        over, self._over = set(self._over), []
        for number, claim in list(self._files.items()):
            if number < mine and (number in over or self._is_idle(number, claim, options)):
                self._remove(number)

    def _is_idle(self, number: int, claim: Claim, options: Options) -> bool:
        """True for a claim without keys, and for one whose keeper is dead; asked once in a while for each."""
        if number in self._left or claim.is_unread:
            return False
        if not claim.digests:
            return True
        now = time.monotonic()
        if now - self._judged.get(number, -_JUDGE_S) < _JUDGE_S:
            return False
        self._judged[number] = now
        if self._is_alive(claim.keeper, options):
            return False
        if claim.keeper.kind != "process" or lives_here(claim.keeper) is not None:
            return True
        # It may stand still on its host, and go on: who takes its keys over is to see that, and to outrank it.
        return self._is_older(number, ABANDONED_S)

    def _remove(self, number: int) -> None:
        discard(self._path(number))
        if number in self._files:
            self._forget_claim(number)

    def stored(self, keys: Iterable[str]) -> None:
        """These keys are stored, so the claims of this process on them are over."""
        if self._mine:
            self._drop(keys)
            if self._single:
                self._sweep_single()

    def _drop(self, keys: Iterable[str]) -> list[int]:
        """Some keys are not held any more; the claims that they were in."""
        numbers = Counter(map(self._mine.pop, keys, repeat(0)))
        del numbers[0]  # there is no such claim: these were not held
        for number, count in numbers.items():
            self._left[number] -= count
            if not self._left[number]:
                del self._left[number]
                self._over.append(number)
                lives_of(self._root).let_go()
        return [*numbers]

    def _sweep_single(self) -> None:
        over, self._over = self._over, []
        for number in over:
            if self._still_mine(number):
                self._remove(number)

    def _still_mine(self, number: int) -> bool:
        # Whoever took us for dead may have removed it, and the number may be somebody else's by now.
        try:
            return read(self._path(number)).keeper.is_me
        except OSError:
            return False

    def end(self, keys: Collection[str], options: Options, keeper: Keeper | None = None) -> None:
        """Ends the claims of this process on these keys at once, or hands them to `keeper`."""
        mine = self._mine
        ended = [] if mine.keys().isdisjoint(keys) else [key for key in keys if key in mine]
        numbers = self._drop(ended)
        if self._single and keeper is None:
            self._sweep_single()
            return
        if ended and keeper is not None:
            self._publish(keeper, ended, options)
        # Files never change: what is left of a claim is made anew before the old file is removed.
        rest = [number for number in numbers if number in self._left]
        self._replace(rest, options)
        if self._over:
            self._end_over(options)

    def _replace(self, numbers: Sequence[int], options: Options) -> None:
        if not numbers:
            return
        keys = [key for key, number in self._mine.items() if number in numbers]
        try:
            number = self._publish(me(), keys, options)
        except OSError:
            # No room for a new claim: all end, since nobody may wait for what is not computed any more.
            self._drop(keys)
            return
        for old in numbers:
            del self._left[old]
            self._over.append(old)
        self._left[number] = len(keys)
        self._mine.update(dict.fromkeys(keys, number))
        for _ in range(len(numbers) - 1):
            lives_of(self._root).let_go()

    def _end_over(self, options: Options) -> None:
        highest = max(self._files, default=0)
        if highest in self._over and not self._single:
            try:
                highest = self._publish(me(), [], options)
            except OSError:
                # No room for it. A number that is used again costs at most a computation that is done twice.
                highest += 1
        if self._single:
            self._sweep_single()
        else:
            self._sweep(highest, options)

    def _publish(self, keeper: Keeper, keys: Sequence[str], options: Options) -> int:
        """A new claim, whatever others hold."""
        hashed = digests(keys)
        while (number := self._make(keeper, hashed, options)) is None:
            self.refresh()
        return number

    def end_job(self, keeper: Keeper, options: Options) -> None:
        """Ends the claims of a job, which it or who knows that it ended asks for."""
        self.refresh()
        same = (keeper.scheduler, keeper.job_id)
        numbers = [
            number
            for number, claim in self._files.items()
            if claim.keeper.kind == "job" and (claim.keeper.scheduler, claim.keeper.job_id) == same
        ]
        if numbers and not self._single and max(numbers) == max(self._files):
            with contextlib.suppress(OSError):
                self._publish(me(), [], options)
        for number in numbers:
            self._remove(number)

    def end_all(self, options: Options) -> None:
        """Ends all claims of this process here."""
        self.end(list(self._mine), options)

    def tidy(self, options: Options) -> None:
        """Removes the files of claims that are over."""
        if self._over:
            self._end_over(options)
