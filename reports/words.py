"""The words of reports in the reader's language: English in the code, other languages from a catalogue beside it.

English text is the key, as with gettext. Only literals are translated, so that a test can hold the catalogue to every
text the code has (tests/reports/test_words.py); what comes from a log or an operator is never looked up.
"""

from __future__ import annotations

import functools
import importlib.resources
import tomllib
from enum import StrEnum

from reports.levels import Band, Month
from reports.prose import Prose


class Language(StrEnum):
    """A language reports are made in (BCP 47)."""

    EN = "en"
    JA = "ja"


class Words:
    """Texts in one language: ``words("Covered: {start} to {end}.", start=…, end=…)``."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._catalogue = {} if language is Language.EN else catalogue(language)

    def __call__(self, text: str, /, **values: object) -> str:
        """``text`` (an English literal) in this language, with ``{name}`` replaced by values."""
        found = self._catalogue.get(text, text)
        return found.format(**{name: self.value(value) for name, value in values.items()}) if values else found

    def value(self, value: object) -> object:
        """A value as sentences have it: digits in groups of three, months as the language writes them."""
        return value.japanese if isinstance(value, Month) and self.language is Language.JA else grouped(value)

    def said(self, texts: dict[str, str] | None) -> Prose | None:
        """What the operator says in this language, or in the other one where it says it in that only."""
        if not texts:
            return None
        return Prose(texts.get(self.language) or next(iter(texts.values())))


def grouped(value: object) -> object:
    """A number with its digits in groups of three, as sentences have it."""
    if isinstance(value, Band):
        return value.grouped
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value


@functools.cache
def catalogue(language: Language) -> dict[str, str]:
    """English text → text in ``language``."""
    text = (importlib.resources.files("reports") / f"words_{language}.toml").read_text(encoding="utf-8")
    return {str(key): str(value) for key, value in tomllib.loads(text).items()}


ENGLISH = Words(Language.EN)
