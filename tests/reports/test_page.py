"""A page holds everything of its document, nothing of a stranger's takes effect in it, and it needs nothing else."""

from __future__ import annotations

import re
import sys
from collections import Counter
from datetime import date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawl_audit.errors import ConfigurationError
from reports import render
from reports.page import bins, cells, charts, page, plots, svg
from reports.prose import Prose
from reports.render import Chart, ChartKind, Document, Facts, Figures, Lines, Paragraph, Section, Table
from reports.words import ENGLISH, Language, Words
from tests import logs, pages
from tests.reports.command import crawl_audit, refused

# What the page itself is made of; a stranger's markup would add to it.
TAGS = set(
    "html head meta title style body a div header p bdi h1 ul ol li strong nav main section h2 h3 dl dt dd span b"
    " figure figcaption details summary table caption thead tbody tr th td footer svg desc g path line text".split()
)
ATTRIBUTES = set(
    "lang charset http-equiv content name class href id role tabindex aria-label aria-labelledby scope viewbox width"
    " height focusable transform d x1 x2 y1 y2 fill stroke stroke-width opacity text-anchor font-size".split()
)


class Seen(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "every element is closed where it was opened"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, found, value in self.attributes if found == name]


def seen(document: Document) -> Seen:
    return Seen(page.page(document))


def one(*blocks: render.Block, title: str = "t") -> Document:
    return Document(title="Record", sections=(Section(title=title, blocks=blocks),))


def chart(kind: ChartKind, *rows: tuple[Any, ...], tones: tuple[tuple[str, str], ...] = ()) -> Chart:
    header = tuple(f"column {number}" for number in range(len(rows[0]) if rows else 2))
    return Chart(kind=kind, title="Title", says="What is to be seen.", table=Table(header, rows), tones=tones)


@pytest.fixture(scope="module", params=list(Language))
def text(request: pytest.FixtureRequest) -> str:
    """The page of a document with everything, in each language."""
    return page.page(pages.document(request.param))


def test_a_page_loads_nothing_and_runs_nothing(text: str) -> None:
    found = Seen(text)
    assert set(found.tags) <= TAGS
    assert {name for _, name, _ in found.attributes} <= ATTRIBUTES
    assert {value for value in found.values("href") if not value.startswith("#")} == set()
    assert "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'" in found.values(
        "content"
    )
    style = text[text.index("<style>") : text.index("</style>")]
    assert re.findall(r"url\(|@import|@font-face|image-set|expression", style) == []
    assert [value for value in found.values("fill") + found.values("stroke") if "url" in value] == []


def test_every_id_is_there_once_and_every_reference_is_to_one(text: str) -> None:
    found = Seen(text)
    ids = found.values("id")
    assert len(ids) == len(set(ids))
    wanted = {name for value in found.values("aria-labelledby") for name in value.split()}
    assert wanted | {value[1:] for value in found.values("href")} <= set(ids)


def test_a_page_says_its_language_and_repeats_itself_to_the_byte(text: str) -> None:
    (language,) = Seen(text).values("lang")
    assert page.page(pages.document(language)) == text


def _everywhere(text: str) -> tuple[render.Block, ...]:
    drawn = chart(ChartKind.RANKED, (text, 3), ("b", 1))
    return (
        Paragraph(text),
        Facts(((text, text), ("a", [text]), ("b", {text: text}))),
        Lines((text,)),
        Table((text,), ((text,),)),
        Figures(((text, text, text),)),
        Chart(kind=drawn.kind, title=text, says=text, table=drawn.table),
    )


def test_what_a_stranger_wrote_is_text_wherever_it_stands() -> None:
    sections = [Section(title=text, blocks=_everywhere(text)) for text in pages.HOSTILE]
    spans = [(text, text, "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z") for text in pages.HOSTILE]
    others = (
        chart(ChartKind.SPANS, *spans[:8]),
        chart(ChartKind.DAYS, *(("2026-11-01", text, 2) for text in pages.HOSTILE)),
        chart(ChartKind.SHARES, *((text, 2) for text in pages.HOSTILE[:8])),
    )
    joined = "".join(pages.HOSTILE)
    document = Document(
        title=joined,
        subtitle=(joined, joined),
        notice=joined,
        sections=(*sections, Section(title="", blocks=others)),
    )
    found = seen(document)
    assert found.open == []
    assert set(found.tags) <= TAGS
    assert {name for _, name, _ in found.attributes} <= ATTRIBUTES
    assert {render.visible(text) for text in (*pages.HOSTILE, joined)} <= set(found.text)
    everything = "".join(found.text).replace("\n", "")
    assert render.visible(everything) == everything


@given(st.text(min_size=1))
@settings(max_examples=10)
def test_no_text_breaks_a_drawing(text: str) -> None:
    drawn = charts.drawing(chart(ChartKind.RANKED, (text, 3)), ENGLISH, "chart")
    assert drawn is not None
    found = Seen(drawn.wide)
    assert found.open == []
    assert set(found.tags) <= TAGS
    assert found.values("role") == ["img"]


def test_numbers_are_grouped_and_stand_to_the_right() -> None:
    text = page.page(
        one(Table(("site", "bytes"), (("a.example", 1_234_567), ("b.example", None))), Facts((("n", 10**15),)))
    )
    assert '<td class="number"><span class="number">1,234,567</span></td>' in text
    assert '<th scope="col" class="number"><bdi>bytes</bdi></th>' in text
    assert '<th scope="row" class="short"><bdi>a.example</bdi></th>' in text
    assert "1,000,000,000,000,000" in text


@pytest.mark.parametrize(
    ("value", "text", "how"),
    [
        (0, "0", cells.Set.NUMBER),
        (-1_234.5, "-1,234.5", cells.Set.NUMBER),
        (True, "はい", cells.Set.TEXT),
        (None, "—", cells.Set.MISSING),
        ("不明", "不明", cells.Set.MISSING),
        ("100-999", "100-999", cells.Set.TEXT),
        ("0.43", "0.43", cells.Set.TEXT),
        (datetime.fromisoformat("2026-11-01T02:03:04"), "2026-11-01T02:03:04Z", cells.Set.INSTANT),
        ("2026-11-01T02:03:04.123456Z", "2026-11-01T02:03:04.123456Z", cells.Set.INSTANT),
        (b"\x00\xff", "00ff", cells.Set.DIGEST),
        ("ab" * 32, "ab" * 32, cells.Set.DIGEST),
        ("a\u202eb", "a\\u202eb", cells.Set.TEXT),
    ],
)
def test_a_value_is_set_as_what_it_is(value: object, text: str, how: cells.Set) -> None:
    made = cells.cell(value, Words(Language.JA))
    assert (made.text, made.set) == (text, how)


def test_a_long_table_is_cut_and_says_what_is_left_out() -> None:
    rows = tuple((f"site-{number}.example", number) for number in range(100_000))
    found = seen(one(Table(("site", "n"), rows)))
    assert found.tags["tr"] == 1 + page.ROWS_MAX
    assert [text for text in found.text if "98,000" in text] == [
        (
            "2,000 of 100,000 rows are shown. The other 98,000 are in the same report as JSON and CSV (--format json,"
            " --format csv)."
        )
    ]


def test_a_short_table_says_nothing_of_rows() -> None:
    assert "left-out" not in "".join(seen(one(Table(("a",), ((1,),) * page.ROWS_MAX))).values("class"))


def test_a_label_becomes_the_caption_of_the_table_it_stands_before() -> None:
    text = page.page(one(Paragraph("Violations by site"), Table(("a",), ((1,),)), Paragraph("A sentence.")))
    assert re.search(r"<caption id=\"section-1-1\"><bdi>Violations by site</bdi></caption>", text)
    assert text.count("Violations by site") == 1
    assert "<p>A sentence.</p>" in text


def test_an_empty_document_is_a_page_still() -> None:
    found = seen(Document(title="Nothing", sections=(Section(title="", blocks=()),)))
    assert (found.tags["h1"], found.tags["h2"], found.tags["nav"]) == (1, 0, 0)


@pytest.mark.parametrize("kind", list(ChartKind))
def test_a_chart_without_rows_is_its_empty_table(kind: ChartKind) -> None:
    found = seen(one(chart(kind)))
    assert (found.tags["svg"], found.tags["table"], found.tags["details"]) == (0, 1, 0)


@pytest.mark.parametrize(
    "undrawn",
    [
        chart(ChartKind.RANKED, ("a.example", "100-999")),
        chart(ChartKind.RANKED, ("a.example", -1)),
        chart(ChartKind.RANKED, ("a.example", float("nan"))),
        chart(ChartKind.RANKED, ("a.example", True)),
        chart(ChartKind.SHARES, ("text", "suppressed")),
        chart(ChartKind.SHARES, ("text", 0)),
        chart(ChartKind.DAYS, ("11/2026", "allowed", 3)),
        chart(ChartKind.DAYS, ("2026-11-01", "allowed", None)),
        chart(ChartKind.SPANS, ("a", "covered", "11/2026", "2026-12-01T00:00:00Z")),
        chart(ChartKind.SPANS, ("a", "covered", None, None)),
    ],
)
def test_what_is_no_number_or_time_is_never_drawn_but_told(undrawn: Chart) -> None:
    found = seen(one(undrawn))
    assert (found.tags["svg"], found.tags["table"]) == (0, 1)


def test_a_drawing_has_one_name_one_description_and_no_other_words_to_read_out() -> None:
    drawn = charts.drawing(pages.by_day(), ENGLISH, "chart-7")
    assert drawn is not None
    found = Seen(drawn.narrow)
    assert found.values("id") == ["chart-7-narrow-title", "chart-7-narrow-description"]
    assert found.values("aria-labelledby") == ["chart-7-narrow-title chart-7-narrow-description"]
    assert (found.values("role"), found.values("aria-label")) == (["img"], [])
    assert found.text[:2] == ["Requests by day and verdict", pages.by_day().says]


def test_of_a_foreign_drawing_only_shapes_and_text_are_kept() -> None:
    drawn = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="2" viewBox="0 0 1 2" onload="x()"><style>*{}</style>'
        '<g id="clip0" aria-label="noise" clip-path="url(#clip0)" transform="translate(1.23456,2)"><path d="M0,0"/>'
        '<path d="M1,1" fill="red" onclick="x()"/><script>x()</script><a href="http://x.example"><text>b</text></a>'
        '<text fill="red">a&lt;b</text></g></svg>'
    )
    assert svg.inline(drawn, ident="c", title="T", description="D") == (
        '<svg viewBox="0 0 1 2" width="1" height="2" role="img" aria-labelledby="c-title c-description"'
        ' focusable="false"><title id="c-title">T</title><desc id="c-description">D</desc>'
        '<g transform="translate(1.23,2)"><path d="M1,1" fill="red"></path><text fill="red">a&lt;b</text></g></svg>'
    )


def test_columns_stand_for_the_sums_of_their_days() -> None:
    rows = [("2026-11-01", "allowed", 5), ("2026-11-01", "denied", 2), ("2026-11-03", "allowed", 1)]
    drawn = plots.plot(chart(ChartKind.DAYS, *rows, tones=(("denied", "bad"),)), ENGLISH)
    assert drawn is not None
    assert drawn.rows == ("2026-11-01", "2026-11-02", "2026-11-03")
    assert [(bar.row, bar.start, bar.end, bar.tone) for bar in drawn.bars] == [
        (0, 0, 5, "series-1"),
        (0, 5, 7, "bad"),
        (2, 0, 1, "series-1"),
    ]


@given(
    st.dates(date(2019, 1, 1), date(2027, 1, 1)),
    st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 9)), min_size=1, max_size=40),
)
def test_however_days_are_counted_together_nothing_is_lost(start: date, found: list[tuple[int, int]]) -> None:
    rows = [((start + timedelta(days=day)).isoformat(), "a", number) for day, number in found]
    drawn = plots.plot(chart(ChartKind.DAYS, *rows), ENGLISH)
    assert drawn is not None
    assert sum(bar.end - bar.start for bar in drawn.bars) == sum(number for _, _, number in rows)
    assert len(drawn.rows) <= bins.COLUMNS_MAX
    assert all(0 <= bar.row < len(drawn.rows) for bar in drawn.bars)


@pytest.mark.parametrize(
    ("days", "count", "first", "notes"),
    [
        (120, 120, "2026-11-01", ()),
        (121, 19, "2026-10-26", ("Each column is a week, named by its Monday.", "The first one is not whole.")),
        (1_000, 33, "2026-11", ("Each column is a month.",)),
        (4_000, 12, "2026", ("Each column is a year.", "The first one is not whole.")),
    ],
)
def test_a_long_period_is_drawn_by_week_month_or_year_and_says_so(
    days: int, count: int, first: str, notes: tuple[str, ...]
) -> None:
    start = date(2026, 11, 1)
    rows = [((start + timedelta(days=day)).isoformat(), "a", 1) for day in range(days)]
    drawn = plots.plot(chart(ChartKind.DAYS, *rows), ENGLISH)
    assert drawn is not None
    assert (len(drawn.rows), drawn.rows[0], drawn.notes) == (count, first, notes)


def test_the_longest_bars_are_drawn_and_the_others_counted() -> None:
    drawn = plots.plot(chart(ChartKind.RANKED, *((f"s{number}", number) for number in range(25))), ENGLISH)
    assert drawn is not None
    assert drawn.rows == tuple(f"s{number}" for number in range(24, 4, -1))
    assert drawn.values[0] == "24"
    assert drawn.notes == ("The 20 largest of 25 are drawn.",)


def test_parts_make_a_whole() -> None:
    drawn = plots.plot(chart(ChartKind.SHARES, ("b", 1), ("a", 3_000), ("c", 0), ("d", 999)), ENGLISH)
    assert drawn is not None
    assert [(key.name, key.share, key.value) for key in drawn.legend] == [
        ("a", "75.0%", "3,000"),
        ("d", "25.0%", "999"),
        ("b", "<0.1%", "1"),
    ]
    assert drawn.bars[-1].end == pytest.approx(1)


def test_parts_of_the_same_names_have_the_same_colours_whatever_their_sizes() -> None:
    made = [
        plots.plot(chart(ChartKind.SHARES, ("text", sizes[0]), ("image", sizes[1])), ENGLISH)
        for sizes in ((3, 1), (1, 3))
    ]
    tones = [{key.name: key.tone for key in drawn.legend} for drawn in made if drawn is not None]
    assert tones == [{"text": "series-2", "image": "series-1"}] * 2


def test_many_parts_are_drawn_as_seven_and_the_others() -> None:
    drawn = plots.plot(chart(ChartKind.SHARES, *((f"p{number}", "0.05") for number in range(20))), ENGLISH)
    assert drawn is not None
    assert [(key.name, key.share, key.value) for key in drawn.legend[-2:]] == [
        ("p6", "5%", ""),
        ("13 others", "65.0%", ""),
    ]


def test_shares_that_are_rough_are_said_as_they_were_given() -> None:
    """0.43 of a sum of 0.99 is 43%, not 43.4%: what was rounded does not become exact again."""
    parts = (("a", "0.56"), ("b", "0.43"), ("c", "<0.01"))
    drawn = plots.plot(chart(ChartKind.SHARES, *parts), ENGLISH)
    assert drawn is not None
    assert [(key.name, key.share, key.value) for key in drawn.legend] == [
        ("a", "56%", ""),
        ("b", "43%", ""),
        ("c", "<1%", ""),
    ]
    assert drawn.bars[-1].end == pytest.approx(1)


def test_many_sections_are_named_in_the_contents_by_those_that_hold_them() -> None:
    def sections(number: int) -> tuple[Section, ...]:
        said = (Paragraph("It is so."),)
        inner = [Section(title=f"inner {one}", blocks=said, under=True) for one in range(number)]
        return (*(Section(title=f"outer {one}", blocks=said) for one in range(4)), *inner)

    few, many = (page.page(Document(title="x", sections=sections(number))) for number in (5, 40))
    assert few.count('<li><a href="#') == 9
    assert many.count('<li><a href="#') == 4
    assert many.count("<h3 ") == 40
    assert many.count("<h2 ") == 4


def test_paragraphs_of_an_operator_stay_paragraphs() -> None:
    said = Prose("First <b>one</b>.\n\nSecond one.")
    blocks = (Paragraph(said), Facts((("a", said),)))
    made = page.page(Document(title="x", sections=(Section(title="", blocks=blocks),)))
    assert made.count("First &lt;b&gt;one&lt;/b&gt;.</p>") == 1
    assert made.count("<p><bdi>Second one.</bdi></p>") == 1
    assert "\\x0a" not in made


def test_an_open_stretch_ends_with_the_time_line() -> None:
    rows = [("a", "one", None, "2026-11-02T00:00:00Z"), ("a", "two", "2026-11-02T09:00:00+09:00", None)]
    rows.append(("b", "one", "2026-11-01T00:00:00Z", "2026-11-03T00:00:00Z"))
    drawn = plots.plot(chart(ChartKind.SPANS, *rows), ENGLISH)
    assert drawn is not None
    assert [(bar.row, bar.start / 3600, bar.end / 3600) for bar in drawn.bars] == [(0, 0, 24), (0, 24, 48), (1, 0, 48)]
    assert drawn.notes == ("From 2026-11-01T00:00:00Z to 2026-11-03T00:00:00Z (UTC).",)


def test_ten_thousand_gaps_do_not_make_a_heavy_drawing() -> None:
    start, rows = datetime.fromisoformat("2026-11-01"), []
    for number in range(10_000):
        at = start + timedelta(minutes=2 * number)
        rows.append(("all", "gap", at, at + timedelta(seconds=30)))
    drawn = charts.drawing(chart(ChartKind.SPANS, *rows), ENGLISH, "c")
    assert drawn is not None
    assert len(drawn.wide) < 20_000


def test_a_gap_of_a_second_in_a_year_is_seen() -> None:
    rows = [("all", "covered", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")]
    rows.append(("all", "gap", "2026-12-31T23:59:58Z", "2026-12-31T23:59:59Z"))
    drawn = charts.drawing(chart(ChartKind.SPANS, *rows, tones=(("gap", "bad"),)), ENGLISH, "c")
    assert drawn is not None
    ((left, width),) = re.findall(r'd="M([\d.]+),[\d.]+h([\d.]+)[^"]*" fill="var\(--bad\)"', drawn.wide)
    plane = re.findall(r'd="M0,[\d.]+h([\d.]+)[^"]*" fill="var\(--series-1\)"', drawn.wide)
    assert float(width) == 2
    assert float(left) + 2 == float(plane[0])


@given(
    st.datetimes(datetime.fromisoformat("2000-01-01"), datetime.fromisoformat("2100-01-01")),
    st.timedeltas(timedelta(minutes=1), timedelta(days=40_000)),
)
def test_marks_of_a_time_line_are_few_in_order_and_inside(start: datetime, length: timedelta) -> None:
    made = bins.marks(start, start + length, 6)
    assert [at for at, _ in made] == sorted({at for at, _ in made})
    assert all(start <= at <= start + length for at, _ in made)
    assert len(made) <= 7
    assert len({label for _, label in made}) == len(made)


@given(st.text(max_size=60), st.floats(30, 300))
def test_a_name_is_shortened_to_its_room_and_keeps_its_end(text: str, room: float) -> None:
    made = plots.shortened(text, room)
    assert made == text or (plots.width(made) <= room and "…" in made)


def test_a_long_host_still_says_whose_it_is() -> None:
    made = plots.shortened("www.news.example." + "a" * 60 + ".attacker.example", 240)
    assert made.startswith("www.news.exam")
    assert made.endswith(".attacker.example")


def test_a_name_is_drawn_whole_where_there_is_room() -> None:
    names = [f"site-{number}-test.{end}" for number, end in enumerate(("com", "ac.jp", "co.uk", "example"))]
    drawn = charts.drawing(chart(ChartKind.RANKED, *((name, 1) for name in names)), ENGLISH, "c")
    assert drawn is not None
    assert set(names) <= set(Seen(drawn.wide).text)
    assert set(names) <= set(Seen(drawn.narrow).text)


def test_only_so_many_charts_are_drawn_and_the_others_are_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "DRAWN_MAX", 1)
    found = seen(one(*[chart(ChartKind.RANKED, ("a", 1))] * 3))
    assert (found.tags["svg"], found.tags["table"], found.tags["details"]) == (2, 3, 1)


@pytest.mark.parametrize("module", ["jinja2", "vl_convert"])
def test_a_missing_package_is_named_in_one_sentence(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page._template.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError) as caught:
        page.page(one(chart(ChartKind.RANKED, ("a", 1))))
    assert str(caught.value) == ("Pages need packages that are not installed: run `pip install 'crawl-audit[html]'`.")


def test_a_missing_package_leaves_no_file_behind(
    monkeypatch: pytest.MonkeyPatch, mixed: logs.LogBuilder, tmp_path: Path
) -> None:
    page._template.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    out = tmp_path / "a.html"
    assert "crawl-audit[html]" in refused("report", "coverage", mixed.root, "--format", "html", "-o", out, code=78)
    assert not out.exists()


def test_a_report_is_given_out_as_a_page(mixed: logs.LogBuilder, tmp_path: Path) -> None:
    out = tmp_path / "a.html"
    ran = crawl_audit("report", "coverage", mixed.root, "--format", "html", "--lang", "ja", "-o", out)
    assert (ran.code, ran.out) == (0, "")
    found = Seen(out.read_text(encoding="utf-8"))
    assert found.values("lang") == ["ja"]
    assert found.tags["svg"] >= 2
