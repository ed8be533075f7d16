"""How few colours and shapes does a photograph need? A pipeline in three stages, each with its own cache and its own resources.

The photographs are the two that come with scikit-learn. `Patches` cuts them up, `Codebook` learns typical patches, `Compression`
draws a photograph with nothing but these. Changing the number of codes computes no patches again; asking for other photographs
needs no other codebook.

    python examples/pipeline.py
    python examples/pipeline.py --codes 8 64 512 --cluster local
"""

from __future__ import annotations

import argparse
import logging
import typing as tp
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydantic

import cachedmodel as cm

Array = npt.NDArray[np.float32]
Photo = tp.Literal["china.jpg", "flower.jpg"]


def load(photo: Photo) -> Array:
    """A photograph, shape (height, width, 3), values from 0 to 1."""
    from sklearn.datasets import load_sample_image

    return np.asarray(load_sample_image(photo) / 255, dtype=np.float32)


def cut(image: Array, size: int) -> Array:
    """All patches that do not overlap, shape (rows, columns, size * size * 3)."""
    rows, columns = image.shape[0] // size, image.shape[1] // size
    parts = image[: rows * size, : columns * size].reshape(rows, size, columns, size, 3)
    return parts.swapaxes(1, 2).reshape(rows, columns, size * size * 3)


# quick, and little work: where it runs is up to whoever asks, by default this process
class Patches(cm.CachedModel, version="1", cache_name="Patches"):
    """Some patches of some photographs, to learn from."""

    photos: tuple[Photo, ...] = ("china.jpg", "flower.jpg")
    size: int = pydantic.Field(default=4, ge=1, le=32)
    count: int = 5000
    seed: int = 0

    @cm.task
    def sample(self) -> Array:
        """Patches, shape (count, size * size * 3)."""
        every = np.concatenate([cut(load(photo), self.size).reshape(-1, self.size**2 * 3) for photo in self.photos])
        chosen = np.random.default_rng(self.seed).choice(len(every), self.count, replace=self.count > len(every))
        return every[chosen]


# the expensive stage: a job with more cores
class Codebook(cm.CachedModel, version="1", cache_name="Codebook", cpus_per_task=2, mem_gb=2, timeout_min=30):
    """The patches that stand for all others."""

    patches: Patches = Patches()
    codes: int = pydantic.Field(default=64, ge=2)

    @cm.task
    def learn(self) -> Array:
        """The codes, shape (codes, size * size * 3)."""
        from sklearn.cluster import MiniBatchKMeans

        means = MiniBatchKMeans(self.codes, random_state=self.patches.seed, n_init=1, batch_size=1024)
        return np.asarray(means.fit(self.patches.sample()).cluster_centers_, dtype=np.float32)


class Drawn(tp.NamedTuple):
    """How a photograph looks in codes."""

    codes: npt.NDArray[np.int32]  # shape (rows, columns)
    psnr: float  # in decibels, the more the better


# many small things: jobs of several photographs each
class Compression(cm.CachedModel, version="1", cache_name="Compression", cpus_per_task=1, min_items_per_job=2):
    """Draws photographs with the patches of a codebook."""

    codebook: Codebook = Codebook()

    @cm.map(item_uid=str)
    def draw(self, photos: tp.Iterable[Photo]) -> tp.Iterator[Drawn]:
        """Which code is nearest to each patch, and how near."""
        codes = self.codebook.learn()
        for photo in photos:
            patches = cut(load(photo), self.codebook.patches.size)
            distances = (codes**2).sum(1) - 2 * patches @ codes.T
            nearest = distances.argmin(-1).astype(np.int32)
            error = float(np.mean((patches - codes[nearest]) ** 2))
            yield Drawn(nearest, float(-10 * np.log10(error)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("pipeline-cache"), help="where results are kept")
    parser.add_argument("--cluster", default="auto", help="of the codebooks: None, processpool, local, slurm or auto")
    parser.add_argument("--codes", type=int, nargs="+", default=[4, 16, 64, 256])
    given = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("cachedmodel").setLevel(logging.INFO)

    cluster = None if given.cluster == "None" else given.cluster
    with cm.defaults(folder=given.folder):  # of all stages; what differs is said for each
        codebooks = [Codebook(codes=codes, infra={"cluster": cluster}) for codes in given.codes]
        stages = [Compression(codebook=codebook) for codebook in codebooks]
    photos = stages[0].codebook.patches.photos

    stored = sum(codebook.learn.is_cached() for codebook in codebooks)
    print(f"codebooks: {len(codebooks) - stored} to learn, {stored} from the cache")
    for job in cm.job_array(codebook.learn for codebook in codebooks):
        job.result()
    print(f"\n{'codes':<8}{'bits per pixel':>16}" + "".join(f"{photo:>14}" for photo in photos))
    for stage in stages:
        bits = np.log2(stage.codebook.codes) / stage.codebook.patches.size**2
        drawn = "".join(f"{result.psnr:>11.2f} dB" for result in stage.draw(photos))
        print(f"{stage.codebook.codes:<8}{bits:>16.2f}{drawn}")


if __name__ == "__main__":
    main()
