"""What is drawn of the numbers of a chart: places, sizes, colours and words, before any library draws it.

Vega-Lite is given places, not data to make sense of: so text never lies over text, whatever fonts a machine has, and
the same numbers give the same picture everywhere.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from reports.page.bins import Columns, Step, columns, floor, marks
from reports.page.cells import letters
from reports.period import iso
from reports.render import Chart, ChartKind, visible
from reports.shares import in_percent, percent
from reports.shares import size as share_size
from reports.words import Words

RANKED_MAX = 20
ROWS_MAX = 20
PARTS_MAX = 8
SERIES_MAX = 8
LETTER = 6.8  # the width of a letter of 12 px in the fonts of the page, rather too much than too little


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A colour and what it stands for, with its share of all and its number where there are such."""

    name: str
    tone: str
    share: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A coloured stretch, in units of the axis: from ``start`` to ``end`` in ``row``, or above a column."""

    row: int
    start: float
    end: float
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A chart ready to be drawn in any width."""

    kind: ChartKind
    bars: tuple[Bar, ...]
    rows: tuple[str, ...] = ()
    """Names of rows, or labels of columns."""
    values: tuple[str, ...] = ()
    """What is said at the end of each row."""
    start: datetime | None = None
    end: datetime | None = None
    legend: tuple[Key, ...] = ()
    notes: tuple[str, ...] = ()


def plot(chart: Chart, words: Words) -> Plot | None:
    """What is to be drawn; None where there is nothing, or what is no number."""
    made = {
        ChartKind.DAYS: _days,
        ChartKind.RANKED: _ranked,
        ChartKind.SHARES: _shares,
        ChartKind.SPANS: _spans,
    }[chart.kind]
    return made(chart, words) if chart.table.rows else None


def number(value: Any) -> float | None:
    """A count or share as a number; None for a band, a word or nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        made = share_size(value) if isinstance(value, str) else float(value)
    except (ValueError, OverflowError):
        return None
    return made if math.isfinite(made) and made >= 0 else None


def width(text: str) -> float:
    """The width of ``text`` in the font of charts, in pixels."""
    return letters(text) * LETTER


def shortened(text: str, room: float) -> str:
    """``text`` with its middle left out where it is wider than ``room`` pixels: the end of a host says whose it is."""
    if width(text) <= room:
        return text
    left, right, used, signs = "", "", width("…"), list(text)
    while signs:
        taken = signs.pop(0) if width(left) <= width(right) else signs.pop()
        used += width(taken)
        if used > room:
            break
        left, right = (left + taken, right) if width(left) <= width(right) else (left, taken + right)
    return f"{left}…{right}"


def tones(chart: Chart, names: Iterable[str]) -> dict[str, str]:
    """The colour of each series or state: that of its meaning, else the next of the palette."""
    meant, made, next_one = dict(chart.tones), {}, 0
    for name in names:
        if name in meant:
            made[name] = meant[name]
        else:
            made[name] = f"series-{next_one % SERIES_MAX + 1}"
            next_one += 1
    return made


def _unique(values: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(str(value) for value in values))


def _days(chart: Chart, words: Words) -> Plot | None:
    read = [(_day(day), str(series), number(value)) for day, series, value in chart.table.rows]
    if any(day is None or value is None for day, _, value in read):
        return None
    days = {day for day, _, _ in read if day is not None}
    drawn, names = columns(days), _unique(series for _, series, _ in read)
    colours, sums = tones(chart, names), defaultdict[tuple[int, str], float](float)
    for day, series, value in read:
        if day is not None and value is not None:
            sums[drawn.index(day), series] += value
    bars = []
    for index in range(len(drawn.starts)):
        top = 0.0
        for name in names:
            height = sums.get((index, name), 0)
            if height:
                bars.append(Bar(row=index, start=top, end=top + height, tone=colours[name]))
                top += height
    return Plot(
        kind=chart.kind,
        bars=tuple(bars),
        rows=tuple(drawn.label(index) for index in range(len(drawn.starts))),
        legend=tuple(Key(name=visible(name), tone=colours[name]) for name in names),
        notes=_about_columns(drawn, days, words),
    )


def _about_columns(drawn: Columns, days: set[date], words: Words) -> tuple[str, ...]:
    if drawn.step is Step.DAY:
        return ()
    said = {
        Step.WEEK: words("Each column is a week, named by its Monday."),
        Step.MONTH: words("Each column is a month."),
        Step.YEAR: words("Each column is a year."),
    }[drawn.step]
    whole = floor(min(days), drawn.step) == min(days)
    return (said,) if whole else (said, words("The first one is not whole."))


def _day(value: Any) -> date | None:
    if isinstance(value, date):
        return value.date() if isinstance(value, datetime) else value
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def _ranked(chart: Chart, words: Words) -> Plot | None:
    read = [(str(name), value, number(value)) for name, value in chart.table.rows]
    if any(size is None for _, _, size in read):
        return None
    read.sort(key=lambda row: -(row[2] or 0))
    drawn = read[:RANKED_MAX]
    meant = dict(chart.tones)
    usual = meant.get(chart.table.header[1], "series-1")  # a meaning may be given to all bars by what they count
    left_out = words("The {shown} largest of {total} are drawn.", shown=len(drawn), total=f"{len(read):,}")
    return Plot(
        kind=chart.kind,
        bars=tuple(
            Bar(row=index, start=0, end=size or 0, tone=meant.get(name, usual))
            for index, (name, _, size) in enumerate(drawn)
        ),
        rows=tuple(visible(name) for name, _, _ in drawn),
        values=tuple(_grouped(value) for _, value, _ in drawn),
        notes=(left_out,) if len(read) > len(drawn) else (),
    )


def _grouped(value: Any) -> str:
    return visible(value) if isinstance(value, str) else f"{value:,}"


def _shares(chart: Chart, words: Words) -> Plot | None:
    read = [(str(name), value, number(value)) for name, value in chart.table.rows]
    total = sum(size or 0 for _, _, size in read)
    if any(size is None for _, _, size in read) or not total:
        return None
    parts = [(visible(name), name, value, size or 0.0) for name, value, size in read if size]
    parts.sort(key=lambda part: -part[3])
    names = [part[1] for part in parts]
    # By name, so that charts of the same parts have the same colours; by size where there are not enough colours.
    colours = tones(chart, sorted(names) if len(names) <= SERIES_MAX else names)
    keys = [
        Key(name=shown, tone=colours[name], share=_share(value, size, total), value=_count(value))
        for shown, name, value, size in parts
    ]
    sizes = [part[3] for part in parts]
    if len(parts) > PARTS_MAX:
        rest = sum(sizes[PARTS_MAX - 1 :])
        other = words("{count} others", count=len(parts) - PARTS_MAX + 1)
        keys = [*keys[: PARTS_MAX - 1], Key(name=other, tone="neutral", share=percent(rest, total))]
        sizes = [*sizes[: PARTS_MAX - 1], rest]
    bars, at = [], 0.0
    for key, size in zip(keys, sizes, strict=True):
        bars.append(Bar(row=0, start=at, end=at + size / total, tone=key.tone))
        at += size / total
    labels = tuple(key.share for key in keys)
    return Plot(kind=chart.kind, bars=tuple(bars), values=labels, legend=tuple(keys))


def _share(value: Any, size: float, total: float) -> str:
    """What a part is of all; a share that was given is said as it was given."""
    return in_percent(value) if isinstance(value, str) else percent(size, total)


def _count(value: Any) -> str:
    """The number itself; nothing where only a share was given."""
    return "" if isinstance(value, str) else _grouped(value)


def _spans(chart: Chart, words: Words) -> Plot | None:
    read = [(str(row), str(state), _moment(start), _moment(end)) for row, state, start, end in chart.table.rows]
    known = [moment for _, _, start, end in read for moment in (start, end) if moment is not None]
    given = [moment for _, _, start, end in chart.table.rows for moment in (start, end) if moment is not None]
    if not known or len(known) < len(given):
        return None
    first, last = min(known), max(known)
    if first == last:
        last = first + timedelta(minutes=1)
    names, states = _unique(row for row, _, _, _ in read), _unique(state for _, state, _, _ in read)
    colours = tones(chart, states)
    bars = [
        Bar(
            row=names.index(row),
            start=((start or first) - first).total_seconds(),
            end=((end or last) - first).total_seconds(),
            tone=colours[state],
        )
        for row, state, start, end in read
        if row in names[:ROWS_MAX]
    ]
    notes = [words("From {start} to {end} (UTC).", start=iso(first), end=iso(last))]
    if len(names) > ROWS_MAX:
        notes.append(words("The first {shown} rows of {total} are drawn.", shown=ROWS_MAX, total=f"{len(names):,}"))
    legend = [Key(name=visible(state), tone=colours[state]) for state in states]
    if len(states) > SERIES_MAX:
        legend = []
        notes.append(words("A change of colour is a change; the numbers below name each."))
    return Plot(
        kind=chart.kind,
        bars=tuple(bars),
        rows=tuple(visible(name) for name in names[:ROWS_MAX]),
        start=first,
        end=last,
        legend=tuple(legend),
        notes=tuple(notes),
    )


def _moment(value: Any) -> datetime | None:
    """An instant as naive UTC; None where it is open, or no instant but a month."""
    if value is None:
        return None
    try:
        made = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return made if made.tzinfo is None else made.replace(tzinfo=None) - (made.utcoffset() or timedelta())


def ticks(drawn: Plot, count: int) -> Sequence[tuple[float, str]]:
    """Round instants of a time line, as seconds from its start, with their labels."""
    assert drawn.start is not None and drawn.end is not None, "only time lines have a beginning"
    return [((at - drawn.start).total_seconds(), label) for at, label in marks(drawn.start, drawn.end, count)]
