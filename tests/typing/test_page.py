"""The page about types shows what checkers really say."""

from __future__ import annotations

from tests.typing.page import PAGE, filled


def test_words_of_the_checkers() -> None:
    """Each error on the page is shown in the words of today's checkers (else: `python -m tests.typing.page`)."""
    text = PAGE.read_text()

    assert text.count("mypy") > 10
    assert filled(text) == text
