"""Which function does what I want? A search through the documentation of installed packages, whose texts are embedded once.

The texts are the docstrings of numpy, scipy, scikit-learn and of Python's own modules. Each is embedded by itself, so after an
update of a package only the texts that changed are embedded again.

    python examples/texts.py "invert a matrix"
    python examples/texts.py "find files by a pattern" --cluster processpool --top 3
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import inspect
import re
import time
import typing as tp
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

import cachedmodel as cm

Vector = npt.NDArray[np.float32]

MODULES = (
    *("numpy", "numpy.linalg", "numpy.fft", "numpy.random", "numpy.ma", "numpy.polynomial"),
    *(
        "scipy.linalg",
        "scipy.optimize",
        "scipy.special",
        "scipy.ndimage",
        "scipy.sparse",
        "scipy.spatial",
        "scipy.integrate",
    ),
    *("sklearn.metrics", "sklearn.cluster", "sklearn.linear_model", "sklearn.preprocessing", "sklearn.ensemble"),
    *(
        "os",
        "os.path",
        "glob",
        "shutil",
        "itertools",
        "functools",
        "collections",
        "json",
        "re",
        "statistics",
        "textwrap",
    ),
)


class Text(tp.NamedTuple):
    """What a function says of itself."""

    name: str
    doc: str


def texts(modules: tp.Sequence[str]) -> list[Text]:
    """The documented functions and classes, and the public methods of those classes, that modules offer."""
    found: dict[str, str] = {}
    for module in modules:
        for name, value in vars(importlib.import_module(module)).items():
            if callable(value) and not name.startswith("_"):
                found.setdefault(f"{module}.{name}", inspect.getdoc(value) or "")
                if inspect.isclass(value):
                    methods = {key: x for key, x in vars(value).items() if callable(x) and not key.startswith("_")}
                    found.update((f"{module}.{name}.{key}", inspect.getdoc(x) or "") for key, x in methods.items())
    unique = {doc: name for name, doc in reversed(found.items()) if len(doc) > 40}
    return [Text(name, doc) for doc, name in sorted(unique.items(), key=lambda pair: pair[1])]


def text_uid(text: Text) -> str:
    """Names a text by what is in it."""
    return hashlib.blake2b(f"{text.name}\n{text.doc}".encode(), digest_size=16).hexdigest()


class Embedding(cm.CachedModel, version="1", cache_name="Embedding"):
    """A text as the sum of pseudo-random directions of its words and their parts."""

    width: int = 1024
    gram: int = 4
    weight_of_summary: float = 8.0

    @cm.map(item_uid=text_uid, infra={"min_items_per_job": 500})
    def embed(self, items: tp.Iterable[Text]) -> tp.Iterator[Vector]:
        """The direction of each text, of length 1."""
        for text in items:
            summary = f"{text.name.rpartition('.')[2]} {text.doc.partition('.')[0]}"
            yield self.direction(summary, text.doc[:2000])

    def direction(self, summary: str, rest: str = "") -> Vector:
        """The direction of a text whose first sentence counts more."""
        counts = np.zeros(self.width, np.float32)
        for part, weight in ((summary, self.weight_of_summary), (rest, 1.0)):
            for word in re.findall(r"[a-z]{3,}", part.lower()):
                grams = {f"<{word}>", *(word[start : start + self.gram] for start in range(len(word) - self.gram + 1))}
                for gram in grams:
                    place = zlib.crc32(gram.encode())
                    counts[place % self.width] += weight / len(grams) * (1 if place & 1 << 31 else -1)
        counts = np.sign(counts) * np.sqrt(np.abs(counts))  # what is said ten times is not said ten times as much
        return counts / max(float(np.linalg.norm(counts)), 1e-9)


class Search(cm.CachedModel, version="1", cache_name="Search"):
    """Finds the texts that are nearest to a question."""

    embedding: Embedding = Embedding()
    modules: tuple[str, ...] = MODULES
    common: int = 8  # directions in which all texts lie, which say nothing

    def nearest(self, question: str, top: int) -> list[tuple[float, Text]]:
        """The nearest texts and how near they are."""
        found = texts(self.modules)
        directions = np.stack(list(self.embedding.embed(found)))
        axes = np.linalg.svd(directions.T @ directions)[0][:, : self.common]
        asked = self.embedding.direction(question)
        scores = (directions - directions @ axes @ axes.T) @ asked
        return [(float(scores[place]), found[place]) for place in np.argsort(-scores)[:top]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("question")
    parser.add_argument("--folder", type=Path, default=Path("texts-cache"), help="where embeddings are kept")
    parser.add_argument("--cluster", default="None", help="None, threadpool, processpool, local, slurm or auto")
    parser.add_argument("--top", type=int, default=5)
    given = parser.parse_args()

    cluster = None if given.cluster == "None" else given.cluster
    search = Search(embedding=Embedding(infra={"folder": given.folder, "cluster": cluster}))
    items = texts(search.modules)
    start = time.perf_counter()
    plan = search.embedding.embed.plan(items)
    search.embedding.embed.submit(items).result()
    took = time.perf_counter() - start
    print(
        f"{len(items):,} texts: embedded {len(plan.missing):,}, from the cache {len(plan.cached):,}, in {took:.2f} s\n"
    )
    for score, text in search.nearest(given.question, given.top):
        summary = " ".join(text.doc.partition("\n\n")[0].split())
        print(f"{score:5.2f}  {text.name:<32} {summary[:80]}")


if __name__ == "__main__":
    main()
