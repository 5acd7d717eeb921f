"""What an operator writes in paragraphs: one text wherever there is room for a line, paragraphs where there is more."""

from __future__ import annotations

import re
import unicodedata
from typing import Self

PARAGRAPH = "\n\n"
"""What stands between paragraphs in a record; no other line break does."""
_BREAK = re.compile(r"[ \t]*\n[ \t]*")
_EMPTY_LINE = re.compile(r"(?:[ \t]*\n){2,}[ \t]*")


class Prose(str):
    """A text on one line that knows its paragraphs."""

    __slots__ = ("paragraphs",)
    paragraphs: tuple[str, ...]

    def __new__(cls, text: str) -> Self:
        """``text`` as a record holds it."""
        parts = tuple(text.split(PARAGRAPH))
        made = super().__new__(cls, joined(parts))
        made.paragraphs = parts
        return made


def as_written(text: str) -> str:
    """``text`` as a record holds it: an empty line begins a paragraph, any other line break is how it was typed."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    parts = (joined(_BREAK.split(part)).replace("\t", " ").strip() for part in _EMPTY_LINE.split(lines))
    return PARAGRAPH.join(part for part in parts if part)


def joined(parts: tuple[str, ...] | list[str]) -> str:
    """Lines as one: with a space between them, or nothing between Japanese or Chinese signs."""
    made = ""
    for part in parts:
        made += (" " if made and part and not (_is_wide(made[-1]) and _is_wide(part[0])) else "") + part
    return made


def _is_wide(sign: str) -> bool:
    return unicodedata.east_asian_width(sign) in "WF"
