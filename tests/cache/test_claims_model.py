"""Claims of several caches and jobs, whatever is done in whatever order: checked against a dictionary."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cachedmodel.cache import Cache, Keeper, Options
from cachedmodel.cache.lives import me

KEYS = st.lists(st.sampled_from("abcdef"), unique=True)
CACHES = st.integers(0, 2)
JOBS = st.sampled_from(["1", "2"])


class ClaimsOfMany(RuleBasedStateMachine):
    """Three caches of one map, two jobs, and a dictionary that says who holds what."""

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.mkdtemp()
        self.alive = {"1": True, "2": True}
        options = Options(job_alive=lambda scheduler, job_id, submitted: self.alive[job_id])
        self.caches = [Cache(f"{self.root}/map", self.root, single=False, options=options) for _ in range(4)]
        self.claims = itertools.count(1)
        #: Key -> cache or job that holds it, and the claim.
        self.held: dict[str, tuple[int | str, int]] = {}
        #: Key that was stored, but is still named by a claim that holds other keys.
        self.lingering: dict[str, int] = {}
        self.stored: set[str] = set()

    def _free(self, key: str) -> bool:
        if key in self.lingering:
            return False
        holder, _ = self.held.get(key, ("", 0))
        return holder == "" or (isinstance(holder, str) and not self.alive[holder])

    def _settle(self) -> None:
        """Stored keys linger as long as their claim holds others."""
        claims = {claim for _, claim in self.held.values()}
        self.lingering = {key: claim for key, claim in self.lingering.items() if claim in claims}

    def _end(self, number: int, keys: list[str], job: str | None) -> None:
        """Keys that a cache holds end, or go to a job; what is left of their claims is claimed anew."""
        ended = [key for key in keys if self.held.get(key, ("", 0))[0] == number]
        claims = {self.held[key][1] for key in ended}
        for key in ended:
            del self.held[key]
            if job is not None:
                self.held[key] = (job, next(self.claims))
        anew = next(self.claims)
        for key, (holder, claim) in self.held.items():
            if claim in claims:
                self.held[key] = (holder, anew)
        self._settle()

    @rule(number=CACHES, keys=KEYS, again=st.booleans())
    def claim(self, number: int, keys: list[str], again: bool) -> None:
        """Granted is what nobody living holds, and what is not stored unless it may be."""
        self.caches[number].refresh()
        expected = [key for key in keys if self._free(key) and (again or key not in self.stored)]

        assert self.caches[number].claim(keys, "all" if again else "nothing") == expected
        claim = next(self.claims)
        self.held.update(dict.fromkeys(expected, (number, claim)))

    @rule(number=CACHES, keys=KEYS)
    def release(self, number: int, keys: list[str]) -> None:
        self.caches[number].release(keys)
        self._end(number, keys, None)

    @rule(number=CACHES, keys=KEYS, job=JOBS)
    def hand_over(self, number: int, keys: list[str], job: str) -> None:
        if self.alive[job]:
            self.caches[number].hand_over(keys, Keeper.job("slurm", job, 0.0))
            self._end(number, keys, job)

    @rule(number=CACHES, job=JOBS)
    def end_job(self, number: int, job: str) -> None:
        self.caches[number].end_job(Keeper.job("slurm", job, 0.0))
        self.held = {key: held for key, held in self.held.items() if held[0] != job}

    @rule(job=JOBS)
    def job_dies(self, job: str) -> None:
        self.alive[job] = False

    @rule(number=CACHES, keys=KEYS)
    def write(self, number: int, keys: list[str]) -> None:
        """What is stored ends the claim of who stored it."""
        cache = self.caches[number]
        cache.refresh()
        for key in keys:
            cache.write(key, key)
        cache.commit()
        cache.release([])
        self.stored.update(keys)
        for key in keys:
            if self.held.get(key, ("", 0))[0] == number:
                self.lingering[key] = self.held.pop(key)[1]
        self._settle()

    @rule(number=CACHES)
    def close(self, number: int) -> None:
        self.caches[number].close()

    @rule(number=CACHES)
    def delete(self, number: int) -> None:
        self.caches[number].delete()
        self.stored.clear()

    @invariant()
    def holders_are_known(self) -> None:
        """Everybody sees who holds what, among them a cache that never claims."""
        expected = {key: me() for key in self.lingering}
        for key, (holder, _) in self.held.items():
            if not isinstance(holder, str):
                expected[key] = me()
            elif self.alive[holder]:
                expected[key] = Keeper.job("slurm", holder, 0.0)
        for cache in (self.caches[0], self.caches[3]):
            assert cache.holders(list("abcdef"), "all") == expected
            unstored = {key: keeper for key, keeper in expected.items() if key not in self.stored}
            assert cache.holders(list("abcdef")) == unstored

    @invariant()
    def few_files(self) -> None:
        """There is at most a file for each holder, those of dead jobs, and one more for each cache."""
        assert len(list(Path(self.root, "map").glob(".claim-*"))) <= len(self.held) + 12

    def teardown(self) -> None:
        for cache in self.caches:
            cache.end()
        shutil.rmtree(self.root)


TestClaimsOfMany = ClaimsOfMany.TestCase
TestClaimsOfMany.settings = settings(stateful_step_count=30)
