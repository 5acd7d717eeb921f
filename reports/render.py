"""Answers to text, Markdown, CSV and JSON, with whatever a stranger wrote made harmless for where it is shown.

URLs, User-Agents and robots.txt lines come from sites and crawlers.  A terminal acts on control characters, a reader
is misled by bidirectional ones, Markdown viewers run HTML, spreadsheets run formulas: each has its own cure here.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from reports.levels import Band
from reports.period import iso
from reports.prose import Prose

# Controls (C0, DEL, C1), format characters that reorder or hide text (bidirectional marks, embeddings and isolates,
# zero-width and joiner characters, soft hyphen, tags), line and paragraph separators, lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
# What makes a spreadsheet take a cell for a formula, full-width forms included (OWASP, CSV Injection).
_FORMULA = tuple("=+-@＝＋－＠")
_MARKDOWN = re.compile(r"([\\`*_\[\]|~#!])")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A sentence or two."""

    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with their values, one a line."""

    pairs: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """Text to be shown line by line as it is, for example a robots.txt."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a header; ``rows`` hold raw values."""

    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """A few key figures: label, value, and a phrase that says what is counted."""

    items: tuple[tuple[str, Any, str], ...]


class ChartKind(StrEnum):
    """What a chart shows, and so what a row of its table is."""

    DAYS = "days"  # (day as YYYY-MM-DD, series, number): columns by day, series stacked
    RANKED = "ranked"  # (name, number): bars, the longest first
    SHARES = "shares"  # (name, number): parts of a whole
    SPANS = "spans"  # (row, state, from, to), both ISO instants: a time line


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Numbers to be looked at. Pages draw it with its table beside it; text and Markdown leave it out.

    ``says`` is what is to be seen, in a sentence, for who cannot see it. ``tones`` gives series or states a meaning
    that colours follow: ``good``, ``bad``, ``warn``, ``neutral``.
    """

    kind: ChartKind
    title: str
    says: str
    table: Table
    tones: tuple[tuple[str, str], ...] = ()


Block = Paragraph | Facts | Lines | Table | Figures | Chart


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Blocks under one heading; ``under``: it belongs to the last section before it that does not."""

    title: str
    blocks: tuple[Block, ...]
    under: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """An answer for people: a title and its sections."""

    title: str
    sections: tuple[Section, ...] = field(default=())
    notice: str = ""
    """What must be read before anything else: the first line, before the title."""
    subtitle: tuple[str, ...] = ()
    """Whose it is, of which period, for whose eyes."""
    language: str = "en"


def table_of(rows: Sequence[dict[str, Any]], names: Sequence[str] | None = None) -> Table:
    """A table of mappings; ``names`` chooses and orders the columns (default: those of the first row)."""
    header = tuple(names if names is not None else rows[0] if rows else ())
    return Table(header, tuple(tuple(row[name] for name in header) for row in rows))


def visible(text: str) -> str:
    """``text`` with every character that a terminal acts on or a reader cannot see written as ``\\uNNNN``."""
    return _UNSAFE.sub(lambda match: _escaped(match.group()), text)


def _escaped(character: str) -> str:
    point = ord(character)
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def shown(value: Any) -> str:
    """Any value of an answer as harmless text for a terminal; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return iso(value) or ""
    if isinstance(value, dict):
        return ", ".join(f"{shown(key)} {shown(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(value, Band):
        return value.grouped
    return visible(str(value))


def paragraphs(block: Paragraph) -> tuple[str, ...]:
    """The paragraphs of a block: one, or those of what an operator wrote."""
    return block.text.paragraphs if isinstance(block.text, Prose) else (block.text,)


def text(document: Document) -> str:
    """The document for a terminal or a plain file."""
    parts = [visible(document.notice)] if document.notice else []
    parts.append(f"{visible(document.title)}\n{'=' * _width(visible(document.title))}")
    if document.subtitle:
        parts.append(visible(" · ".join(document.subtitle)))
    for section in document.sections:
        body = _text_body(_without_charts(section.blocks))
        heading = visible(section.title)
        line = ("." if section.under else "-") * _width(heading)
        parts.append(f"{heading}\n{line}\n{body}" if heading else body)
    return "\n\n".join(parts) + "\n"


def _without_charts(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    return tuple(block for block in blocks if not isinstance(block, Chart))


def _text_body(blocks: tuple[Block, ...]) -> str:
    """Blocks one below the other; an empty line wherever the kind of block changes."""
    made = ""
    for index, block in enumerate(blocks):
        if index:
            made += "\n" if type(block) is type(blocks[index - 1]) else "\n\n"
        made += _text_block(block)
    return made


def _text_block(block: Block) -> str:
    if isinstance(block, Paragraph):
        return "\n\n".join(visible(one) for one in paragraphs(block))
    if isinstance(block, Facts):
        width = max((_width(visible(name)) for name, _ in block.pairs), default=0)
        return "\n".join(f"{_padded(visible(name), width)}  {shown(value)}".rstrip() for name, value in block.pairs)
    if isinstance(block, Lines):
        return "\n".join(visible(line) for line in block.lines)
    if isinstance(block, Figures):
        return _text_block(_as_facts(block))
    assert isinstance(block, Table), "charts are left out"
    return text_table(block)


def _as_facts(block: Figures) -> Facts:
    return Facts(tuple((f"{label} ({note})" if note else label, value) for label, value, note in block.items))


def text_table(table: Table) -> str:
    """A table in columns, nothing cut off; numbers to the right."""
    cells = [[visible(name) for name in table.header], *([shown(value) for value in row] for row in table.rows)]
    widths = [max(_width(row[index]) for row in cells) for index in range(len(table.header))]
    numeric = [
        bool(table.rows) and all(_is_number(row[index]) for row in table.rows) for index in range(len(table.header))
    ]
    lines = [_row(row, widths, numeric) for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _row(cells: list[str], widths: list[int], numeric: list[bool]) -> str:
    padded = (_padded(c, w, right=n) for c, w, n in zip(cells, widths, numeric, strict=True))
    return "  ".join(padded).rstrip()


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _width(value: str) -> int:
    """Columns a terminal gives the text: East Asian wide characters take two, combining ones none."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in value if not unicodedata.combining(c))


def _padded(value: str, width: int, *, right: bool = False) -> str:
    padding = " " * (width - _width(value))
    return padding + value if right else value + padding


def markdown(document: Document) -> str:
    """The document as Markdown (CommonMark with pipe tables) in which no stranger's markup or HTML survives."""
    parts = [_md(document.notice)] if document.notice else []
    parts.append(f"# {_md(document.title)}")
    if document.subtitle:
        parts.append(_md(" · ".join(document.subtitle)))
    for section in document.sections:
        if section.title:
            parts.append(f"{'###' if section.under else '##'} {_md(section.title)}")
        parts.extend(_md_block(block) for block in _without_charts(section.blocks))
    return "\n\n".join(parts) + "\n"


def _md_block(block: Block) -> str:
    if isinstance(block, Paragraph):
        return "\n\n".join(_md(one) for one in paragraphs(block))
    if isinstance(block, Facts):
        return "\n".join(f"- {_md(name)}: {_md(shown(value))}" for name, value in block.pairs)
    if isinstance(block, Lines):
        return "\n".join(f"    {visible(line)}" for line in block.lines)  # indented code: nothing can end it
    if isinstance(block, Figures):
        return _md_block(_as_facts(block))
    assert isinstance(block, Table), "charts are left out"
    return markdown_table(block)


def markdown_table(block: Table) -> str:
    """A pipe table, as GitHub's Markdown has it."""
    header = "| " + " | ".join(_md(name) for name in block.header) + " |"
    rule = "|" + " --- |" * len(block.header)
    rows = ("| " + " | ".join(_md(shown(value)) for value in row) + " |" for row in block.rows)
    return "\n".join([header, rule, *rows])


def _md(value: str) -> str:
    harmless = visible(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A bare address would become a link in most viewers: people must be able to read it without going there.
    return _MARKDOWN.sub(r"\\\1", harmless).replace("://", "&#58;//")


def csv_text(table: Table) -> str:
    """The table as CSV (RFC 4180) that no spreadsheet takes for formulas."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(table.header)
    writer.writerows([_csv_cell(value) for value in row] for row in table.rows)
    return out.getvalue()


def _csv_cell(value: Any) -> str | int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    cell = str(value) if isinstance(value, Band) else shown(value)
    return "'" + cell if cell.lstrip().startswith(_FORMULA) else cell


def json_text(value: Any) -> str:
    """``value`` as JSON in ASCII, so that no character of a stranger's acts on a terminal."""
    return json.dumps(value, ensure_ascii=True, indent=2, default=_plain).replace("\x7f", "\\u007f") + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, bytes | bytearray):
        return value.hex()
    return str(value)


def numbered(lines: Iterable[tuple[int, str]], marked: int | None) -> Lines:
    """Numbered lines with ``→`` before the marked one."""
    return Lines(tuple(f"{'→' if number == marked else ' '} {number:>5}  {line}" for number, line in lines))
