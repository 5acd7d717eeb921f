"""A document as one self-contained HTML page: no script, no network, readable on a phone and in print."""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crawl_audit.errors import ConfigurationError
from reports import render
from reports.page.cells import Cell, Set, cell, letters
from reports.page.charts import MISSING, Drawing, drawing
from reports.render import Chart, Document, visible
from reports.words import Language, Words

if TYPE_CHECKING:
    from jinja2 import Template

ROWS_MAX = 2_000
"""Rows of a table in a page, and lines of a text: more make browsers slow, and nobody reads them there."""
DRAWN_MAX = 60
"""Charts drawn in a page; each takes a tenth of a second. The numbers of the others are given as tables."""
SECTIONS_WITH_CONTENTS = 4
CONTENTS_MAX = 14
"""Entries of the contents; of more, only the sections that hold others are listed."""
_SHORT = 24
_LONG = 44
_WIDE = 8
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)", re.ASCII)
_SENTENCE_ENDS = tuple(".!?…。！？")


def page(document: Document) -> str:
    """The page; raises ConfigurationError where what makes it is not installed."""
    template = _template()
    words = Words(Language(document.language))
    view = _View(words)
    sections = [
        {
            "ident": f"section-{number}",
            "title": visible(section.title),
            "heading": "h3" if section.under else "h2",
            "blocks": view.blocks(section),
        }
        for number, section in enumerate(document.sections, start=1)
    ]
    titled = [section for section in sections if section["title"]]
    if len(titled) > CONTENTS_MAX:
        titled = [section for section in titled if section["heading"] == "h2"]
    return template.render(
        language=document.language,
        title=visible(document.title),
        subtitle=[visible(text) for text in document.subtitle],
        notice=visible(document.notice),
        sections=sections,
        contents=titled if len(titled) >= SECTIONS_WITH_CONTENTS else [],
        style=_resource("style.css"),
        said=_said(words),
    )


def _said(words: Words) -> dict[str, str]:
    """The words that every page has."""
    return {
        "contents": words("Contents"),
        "skip": words("Skip to the record"),
        "numbers": words("Show the numbers"),
        "first": words("Read this first"),
        "key_figures": words("Key figures"),
        "about_page": words("This page is one file: it loads nothing and runs nothing."),
    }


@functools.cache
def _template() -> Template:
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise ConfigurationError(MISSING) from error
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["moments"] = _moments
    return environment.from_string(_resource("page.html.j2"))


def _moments(text: str) -> list[tuple[str, bool]]:
    """``text`` in parts, with whether each is an instant, which no line break may tear apart."""
    return [(part, index % 2 == 1) for index, part in enumerate(_INSTANT.split(text)) if part]


def _resource(name: str) -> str:
    return (importlib.resources.files("reports.page") / name).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A column: its heading and how its cells are set."""

    title: str
    style: str

    @property
    def roomy(self) -> bool:
        """Whether its heading needs more room than its cells might take."""
        return letters(self.title) > 14


class _View:
    """Blocks as the template takes them: every text harmless, every number grouped, every chart numbered."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._charts = 0

    def blocks(self, section: render.Section) -> list[dict[str, Any]]:
        """The blocks of a section; a label before a table becomes its caption, several sentences become a list."""
        made: list[dict[str, Any]] = []
        for index, block in enumerate(section.blocks):
            following = section.blocks[index + 1] if index + 1 < len(section.blocks) else None
            if isinstance(block, render.Paragraph):
                kind = "label" if _is_label(block, following) else "sentence"
                parts = render.paragraphs(block)
                kind = kind if len(parts) == 1 else "paragraph"
                made += [{"kind": kind, "text": visible(part)} for part in parts]
                continue
            shown = self._block(block, visible(section.title))
            if shown["kind"] == "table" and made and made[-1]["kind"] == "label":
                shown |= {"caption": made.pop()["text"], "captioned": True}
            made.append(shown)
        return _listed(made)

    def _block(self, block: render.Block, title: str) -> dict[str, Any]:
        if isinstance(block, render.Facts):
            pairs = [(visible(name), cell(value, self._words)) for name, value in block.pairs]
            return {"kind": "facts", "pairs": pairs}
        if isinstance(block, render.Figures):
            tiles = [(visible(label), cell(value, self._words), visible(note)) for label, value, note in block.items]
            return {"kind": "figures", "tiles": tiles}
        if isinstance(block, render.Lines):
            lines = [visible(line) for line in block.lines[:ROWS_MAX]]
            return {"kind": "lines", "lines": lines, "caption": title, "left": self._left(len(block.lines))}
        if isinstance(block, render.Table):
            return self._table(block, title)
        assert isinstance(block, render.Chart), "there are no other blocks"
        return self._chart(block)

    def _table(self, table: render.Table, caption: str) -> dict[str, Any]:
        rows = [[cell(value, self._words) for value in row] for row in table.rows[:ROWS_MAX]]
        columns = [
            _Column(title=visible(name), style=_style([row[index] for row in rows], visible(name)))
            for index, name in enumerate(table.header)
        ]
        return {
            "kind": "table",
            "caption": caption,
            "captioned": False,
            "columns": columns,
            "rows": rows,
            "left": self._left(len(table.rows)),
            "wide": len(columns) >= _WIDE,
        }

    def _left(self, total: int) -> str:
        if total <= ROWS_MAX:
            return ""
        return self._words(
            "{shown} of {total} rows are shown. The other {left} are in the same report as JSON and CSV (--format json,"
            " --format csv).",
            shown=f"{ROWS_MAX:,}",
            total=f"{total:,}",
            left=f"{total - ROWS_MAX:,}",
        )

    def _chart(self, chart: Chart) -> dict[str, Any]:
        self._charts += 1
        drawn: Drawing | None = None
        if self._charts <= DRAWN_MAX:
            drawn = drawing(chart, self._words, f"chart-{self._charts}")
        return {
            "kind": "chart",
            "title": visible(chart.title),
            "says": visible(chart.says),
            "drawn": drawn,
            "table": self._table(chart.table, visible(chart.title)),
        }


def _is_label(block: render.Paragraph, following: render.Block | None) -> bool:
    """Whether it names what follows: short, and no sentence."""
    text = block.text.rstrip()
    return (
        following is not None
        and not isinstance(following, render.Paragraph | Chart)
        and len(text) <= 100
        and not text.endswith(_SENTENCE_ENDS)
    )


def _listed(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Three and more sentences in a row as a list."""
    made: list[dict[str, Any]] = []
    run: list[dict[str, Any]] = []
    for block in [*blocks, {"kind": "end"}]:
        if block["kind"] == "sentence":
            run.append(block)
            continue
        made += [{"kind": "list", "texts": [one["text"] for one in run]}] if len(run) > 2 else run
        run = []
        made.append(block)
    return made[:-1]


def _style(cells: Sequence[Cell], title: str) -> str:
    """Numbers to the right; short texts on one line; room for long ones."""
    given = [one for one in cells if one.set is not Set.MISSING]
    if given and all(one.set is Set.NUMBER for one in given):
        return "number"
    longest = max((one.length for one in cells), default=0)
    return "short" if longest <= _SHORT and letters(title) <= _SHORT else "long" if longest > _LONG else "text"
