"""Libraries are looked for among what is imported, and not before they are complete."""

from __future__ import annotations

import importlib
import threading
from pathlib import Path

import pytest

from cachedmodel.loaded import loaded


def test_a_module_is_there_once_it_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that another thread is in the midst of importing lacks names, and nothing can be of its types yet."""
    (tmp_path / "gate_of_loaded.py").write_text("import threading\nbegun, go = threading.Event(), threading.Event()\n")
    (tmp_path / "slow_to_load.py").write_text(
        "from gate_of_loaded import begun, go\nbegun.set()\ngo.wait()\nlast = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    gate = importlib.import_module("gate_of_loaded")
    thread = threading.Thread(target=importlib.import_module, args=("slow_to_load",))

    assert loaded("slow_to_load") is None
    thread.start()
    try:
        assert gate.begun.wait(60)
        assert loaded("slow_to_load") is None
    finally:
        gate.go.set()
        thread.join()
    assert loaded("slow_to_load").last == 1
