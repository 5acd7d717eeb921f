"""Charts of a page: Vega-Lite draws each twice, for a wide page and for a phone, as SVG that stands in the page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from crawl_audit.errors import ConfigurationError
from reports.page import plots
from reports.page.plots import Key, Plot, width
from reports.page.svg import inline
from reports.render import Chart, ChartKind, visible
from reports.words import Words

MISSING = "Pages need packages that are not installed: run `pip install 'crawl-audit[html]'`."
WIDE = 720
NARROW = 340
_ROW = 26
_THICK = 16
_NAME = 240  # pixels for the names of rows, at most
# Noncharacters, which XML refuses (XML 1.0, production 2) and nobody can read.
_NO_XML = re.compile("[\ufffe\uffff]")

Spec = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A chart as SVG elements, with the words that belong beside it."""

    wide: str
    narrow: str
    legend: tuple[Key, ...]
    notes: tuple[str, ...]


def drawing(chart: Chart, words: Words, ident: str) -> Drawing | None:
    """``chart`` drawn; None where there is nothing to be drawn.  ``ident`` is unique in the page."""
    drawn = plots.plot(chart, words)
    if drawn is None:
        return None
    texts = {"title": _clean(visible(chart.title)), "description": _clean(visible(chart.says))}
    return Drawing(
        wide=inline(_svg(_spec(drawn, WIDE)), ident=f"{ident}-wide", **texts),
        narrow=inline(_svg(_spec(drawn, NARROW)), ident=f"{ident}-narrow", **texts),
        legend=drawn.legend,
        notes=drawn.notes,
    )


def library() -> ModuleType:
    """What draws; raises ConfigurationError where it is not installed."""
    try:
        import vl_convert
    except ModuleNotFoundError as error:
        raise ConfigurationError(MISSING) from error
    return vl_convert


def _svg(spec: Spec) -> str:
    # No address may be loaded from: charts hold their numbers themselves.
    return str(library().vegalite_to_svg(spec, allowed_base_urls=[]))


def _clean(text: str) -> str:
    return _NO_XML.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def _spec(drawn: Plot, across: int) -> Spec:
    make = {ChartKind.DAYS: _columns, ChartKind.RANKED: _ranked, ChartKind.SHARES: _parts, ChartKind.SPANS: _spans}
    return make[drawn.kind](drawn, across)


def _canvas(layers: list[Spec], size: tuple[float, float], margins: tuple[float, float, float, float]) -> Spec:
    """``layers`` over a plane of ``size`` with ``margins`` (top, right, bottom, left), all in pixels."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": size[0],
        "height": size[1],
        "padding": dict(zip(("top", "right", "bottom", "left"), margins, strict=True)),
        "autosize": {"type": "none"},
        "background": None,
        "layer": layers,
        "config": {
            "aria": False,  # one description for the whole stands for it (svg.py)
            "view": {"stroke": None},
            "text": {"fill": "currentColor", "fontSize": 12},
            "axis": {
                "labelColor": "currentColor",
                "labelFontSize": 12,
                "labelPadding": 8,
                "domain": False,
                "ticks": False,
                "title": None,
                "gridColor": "var(--grid)",
            },
        },
    }


def _stretches(rows: list[Spec]) -> Spec:
    """Coloured boxes at pixels ``x``, ``x2``, ``y``, ``y2``."""
    return {
        "data": {"values": rows},
        "mark": {"type": "rect"},
        "encoding": {
            **{side: _pixels(side) for side in ("x", "y")},
            **{side: {"field": side} for side in ("x2", "y2")},
            "fill": {"field": "tone", "type": "nominal", "scale": None},
        },
    }


def _pixels(field: str) -> Spec:
    return {"field": field, "type": "quantitative", "scale": None, "axis": None}


def _texts(rows: list[Spec]) -> Spec:
    """Texts at pixels ``x`` and ``y``; ``align`` says which end of the text is there."""
    return {
        "data": {"values": [{**row, "text": _clean(row["text"])} for row in rows]},
        "mark": {"type": "text", "align": {"expr": "datum.align"}, "baseline": "middle"},
        "encoding": {"x": _pixels("x"), "y": _pixels("y"), "text": {"field": "text", "type": "nominal"}},
    }


def _lines(rows: list[Spec]) -> Spec:
    """Thin lines from ``x``, ``y`` to ``x2``, ``y2``, in pixels."""
    return {
        "data": {"values": rows},
        "mark": {"type": "rule", "stroke": "var(--grid)"},
        "encoding": {
            **{side: _pixels(side) for side in ("x", "y")},
            **{side: {"field": side} for side in ("x2", "y2")},
        },
    }


def _tone(name: str) -> str:
    return f"var(--{name})"


def _columns(drawn: Plot, across: int) -> Spec:
    """Columns on a scale with round numbers; labels of the columns below, as many as there is room for."""
    top = max((bar.end for bar in drawn.bars), default=0) or 1
    left = len(f"{int(top * 1.5):,}") * plots.LETTER + 14
    plane, high, count = across - left - 8, 200 if across == WIDE else 160, len(drawn.rows)
    pitch = plane / count
    thick = min(pitch * 0.8, 44) if pitch > 3 else pitch
    gap = 1 if pitch > 5 else 0
    boxes = [
        {"a": (bar.row + 0.5) * pitch - thick / 2, "b": (bar.row + 0.5) * pitch + thick / 2, "y": bar.start}
        | {"y2": bar.end, "tone": _tone(bar.tone)}
        for bar in drawn.bars
    ]
    columns: Spec = {
        "data": {"values": boxes},
        "mark": {"type": "rect", "stroke": "var(--sheet)", "strokeWidth": gap},
        "encoding": {
            "x": {**_pixels("a")},
            "x2": {"field": "b"},
            "y": {
                "field": "y",
                "type": "quantitative",
                "scale": {"domain": [0, top], "nice": 4},
                "axis": {"format": ",d" if top >= 4 else ",", "tickCount": 4, "tickMinStep": 1 if top >= 1 else 0.01},
            },
            "y2": {"field": "y2"},
            "fill": {"field": "tone", "type": "nominal", "scale": None},
        },
    }
    each = -(-count // max(1, int(plane // (12 * plots.LETTER))))
    labels = [
        {"x": _held((index + 0.5) * pitch, label, plane), "y": high + 16, "align": "center", "text": label}
        for index, label in enumerate(drawn.rows)
        if index % each == 0
    ]
    base = _lines([{"x": 0, "y": high, "x2": plane, "y2": high}])
    base["mark"]["stroke"] = "var(--axis)"
    return _canvas([columns, base, _texts(labels)], (plane, high), (10, 8, 28, left))


def _held(x: float, label: str, plane: float) -> float:
    """Where a centred label goes so that it ends within ``plane``."""
    half = width(label) / 2
    return max(half - 8, min(x, plane - half + 6))


def _ranked(drawn: Plot, across: int) -> Spec:
    """Bars with their names before them, or above them where the page is narrow, and their numbers behind."""
    stacked = across == NARROW
    right = max(map(width, drawn.values)) + 12
    room = across - 8 if stacked else min(max(map(width, drawn.rows)), _NAME)
    left = 0 if stacked else room + 12
    row = 42 if stacked else _ROW
    plane = across - left - right
    top = max(bar.end for bar in drawn.bars) or 1
    boxes, texts = [], []
    for bar, name, value in zip(drawn.bars, drawn.rows, drawn.values, strict=True):
        middle = bar.row * row + (28 if stacked else row / 2)
        end = max(bar.end / top * plane, 1 if bar.end else 0)
        boxes.append({"x": 0, "x2": end, "y": middle - _THICK / 2, "y2": middle + _THICK / 2, "tone": _tone(bar.tone)})
        texts.append({"x": end + 6, "y": middle, "align": "left", "text": value})
        if stacked:
            texts.append({"x": 0, "y": middle - 18, "align": "left", "text": plots.shortened(name, room)})
        else:
            texts.append({"x": -10, "y": middle, "align": "right", "text": plots.shortened(name, room)})
    high = len(drawn.rows) * row
    base = _lines([{"x": 0, "y": 0, "x2": 0, "y2": high}])
    base["mark"]["stroke"] = "var(--axis)"
    layers = [_stretches(boxes), _texts(texts)] if stacked else [_stretches(boxes), base, _texts(texts)]
    return _canvas(layers, (plane, high), (4, right, 4, left))


def _parts(drawn: Plot, across: int) -> Spec:
    """One bar of all, divided; the share of each part above it where there is room."""
    plane, thick = across - 2, 30
    boxes, texts = [], []
    for bar, share in zip(drawn.bars, drawn.values, strict=True):
        start, end = bar.start * plane, bar.end * plane
        gap = 1 if end - start > 3 else 0
        boxes.append({"x": start, "x2": end - gap, "y": 22, "y2": 22 + thick, "tone": _tone(bar.tone)})
        if end - start > width(share) + 4:
            texts.append({"x": start, "y": 10, "align": "left", "text": share})
    return _canvas([_stretches(boxes), _texts(texts)], (plane, 22 + thick), (0, 1, 2, 1))


def _spans(drawn: Plot, across: int) -> Spec:
    """A row per name with coloured stretches over a time line; no stretch so short that it is not seen."""
    assert drawn.start is not None and drawn.end is not None, "a time line has a beginning and an end"
    stacked = across == NARROW
    room = across - 8 if stacked else min(max(map(width, drawn.rows)), _NAME)
    left = 0 if stacked else room + 12
    row, plane = 40 if stacked else _ROW, across - left - 12
    high, seconds = len(drawn.rows) * row + 4, (drawn.end - drawn.start).total_seconds()
    boxes, texts = [], []
    for number, tone, start, end in _merged(drawn, plane / seconds, plane):
        middle = number * row + (28 if stacked else row / 2) + 2
        boxes.append({"x": start, "x2": end, "y": middle - 7, "y2": middle + 7, "tone": _tone(tone)})
    for index, name in enumerate(drawn.rows):
        if stacked:
            texts.append({"x": 0, "y": index * row + 12, "align": "left", "text": plots.shortened(name, room)})
        else:
            middle = index * row + row / 2 + 2
            texts.append({"x": -10, "y": middle, "align": "right", "text": plots.shortened(name, room)})
    found = plots.ticks(drawn, max(2, int(plane // (14 * plots.LETTER))))
    lines = [{"x": at / seconds * plane, "x2": at / seconds * plane, "y": 0, "y2": high + 4} for at, _ in found]
    for at, label in found:
        x = _held(at / seconds * plane, label, plane)
        texts.append({"x": x, "y": high + 16, "align": "center", "text": label})
    return _canvas([_lines(lines), _stretches(boxes), _texts(texts)], (plane, high), (4, 12, 28, left))


def _merged(drawn: Plot, scale: float, plane: float) -> list[tuple[int, str, float, float]]:
    """Row, colour, begin and end in pixels of each stretch; those of one colour that nobody could tell apart as one."""
    made: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for bar in sorted(drawn.bars, key=lambda bar: bar.start):
        start = min(bar.start * scale, plane - 2)
        end = max(bar.end * scale, start + 2)
        found = made.setdefault((bar.row, bar.tone), [])
        if found and start - found[-1][1] < 0.5:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    order = dict.fromkeys((bar.row, bar.tone) for bar in drawn.bars)  # what is named later lies above
    return [(row, tone, start, end) for row, tone in order for start, end in made[row, tone]]
