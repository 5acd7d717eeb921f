"""The demo's screen: numbered headings, sentences and commands' output, all within the width of the terminal."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Collection, Iterator
from typing import TextIO

_COLUMNS_MIN = 60
_PROSE_COLUMNS_MAX = 100  # longer lines are hard to read, however wide the terminal is
_MARGIN = "  │ "
_TABLE_RULE = re.compile(r"-+(?:  -+)+")
_FACT = re.compile(r"(?:\S+ )*\S+ {2,}(?=\S)")  # the name of a fact with the gap after it
_HANG_MAX = 40


class Screen:
    """Where the story goes; it owns the numbering of the steps."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._steps = 0
        self._columns = max(shutil.get_terminal_size((80, 24)).columns, _COLUMNS_MIN)

    def step(self, title: str, sentence: str) -> None:
        """A heading, and one sentence that says what comes under it."""
        self._steps += 1
        heading = f"{self._steps}. {title}"
        self.line(f"\n{heading}\n{'─' * len(heading)}")
        self.paragraph(sentence)

    def paragraph(self, text: str) -> None:
        """Prose, broken into lines."""
        self.line(textwrap.fill(text, min(self._columns, _PROSE_COLUMNS_MAX)))

    def line(self, text: str) -> None:
        """Lines as they are, on the screen at once."""
        self._out.write(text + "\n")
        self._out.flush()

    def output(self, said: str, omit: Collection[str] = ()) -> None:
        """What a command said, with a margin; sections of the titles in ``omit`` are named and left out."""
        lines = list(fitted(said, self._columns - len(_MARGIN), omit))
        self.line("\n".join((_MARGIN + line).rstrip() for line in lines))


def fitted(said: str, columns: int, omit: Collection[str] = ()) -> Iterator[str]:
    """The lines of a reader's text answer in at most ``columns``: prose broken, tables cut at the right with ``…``."""
    left_out = []
    skipping = False
    for number, block in enumerate(said.strip("\n").split("\n\n")):
        title, rule, *_ = *block.split("\n"), ""
        if rule and set(rule) == {"-"}:
            skipping = title in omit
            if skipping:
                left_out.append(title)
        if skipping:
            continue
        if number:
            yield ""
        yield from _fitted_block(block.split("\n"), columns)
    if left_out:
        names = ", ".join(f"“{title}”" for title in left_out)
        yield ""
        yield from textwrap.wrap(f"[left out here: {names}]", columns)


def _fitted_block(lines: list[str], columns: int) -> Iterator[str]:
    table = any(_TABLE_RULE.fullmatch(line) for line in lines)
    for line in lines:
        if len(line) <= columns:
            yield line
        elif table or set(line) <= {"-"} or set(line) <= {"="}:
            yield line[: columns - 1].rstrip() + "…"
        else:
            yield from _wrapped(line, columns)


def _wrapped(line: str, columns: int) -> list[str]:
    """A long line over several; those after the first begin under the fact, not under its name."""
    name = _FACT.match(line)
    hang = name.end() if name is not None and name.end() <= min(_HANG_MAX, columns // 2) else 0
    return textwrap.wrap(line, columns, subsequent_indent=" " * hang, break_on_hyphens=False)
