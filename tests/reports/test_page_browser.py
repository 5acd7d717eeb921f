"""Pages in a real browser: nothing is loaded, all is seen, by day and by night, on a phone and in print.

axe-core (WCAG 2.2) looks for what keeps people out; it must find nothing serious.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from reports.kinds.registry import KINDS
from reports.page.page import page
from tests import logs, pages
from tests.reports.command import crawl_audit

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1360, "height": 900}
SLOW_MS = 100_000  # what a busy machine may take; nothing waits for it to pass


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with pages.chromium() as opened:
        yield opened


@dataclass
class Looked:
    """A page opened from its file, with whatever the browser had to say about it."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@dataclass
class Look:
    """Opens files in the browser; closes them all at the end."""

    browser: Browser
    opened: list[Looked] = field(default_factory=list)

    def __call__(self, path: Path, size: Any, scheme: Literal["light", "dark"] = "light") -> Looked:
        context = self.browser.new_context(viewport=size, color_scheme=scheme, offline=True)
        context.set_default_timeout(SLOW_MS)
        made = Looked(context.new_page())
        made.page.on("console", lambda message: made.said.append(f"{message.type}: {message.text}"))
        made.page.on("pageerror", lambda error: made.said.append(f"{error}"))
        made.page.on("request", lambda request: made.asked.append(request.url))
        made.page.goto(path.as_uri())
        self.opened.append(made)
        return made


@pytest.fixture
def look(browser: Browser) -> Iterator[Look]:
    made = Look(browser)
    yield made
    for looked in made.opened:
        looked.page.context.close()


@pytest.fixture(scope="module", params=["en", "ja"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a document with everything, in each language."""
    path = tmp_path_factory.mktemp("pages") / f"{request.param}.html"
    path.write_text(page(pages.document(request.param)), encoding="utf-8")
    return path


def barriers(looked: Page) -> list[str]:
    """What axe-core finds serious or critical, with where."""
    found = Axe().run(looked).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:120]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def too_wide(looked: Page) -> int:
    """By how many pixels one would have to scroll to the side."""
    return int(looked.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def unseen(looked: Page, selector: str) -> list[str]:
    """Elements of which nothing is on the page."""
    return list(
        looked.evaluate(
            """selector => [...document.querySelectorAll(selector)].filter(one => {
                const box = one.getBoundingClientRect();
                return box.width <= 0 || box.height <= 0;
            }).map(one => one.outerHTML.slice(0, 120))""",
            selector,
        )
    )


def test_nothing_is_asked_for_but_the_page_and_nothing_is_complained_of(look: Look, made: Path) -> None:
    looked = look(made, DESK)
    assert looked.asked == [made.as_uri()]
    assert looked.said == []
    assert looked.page.title() != "run"


def test_tables_and_charts_are_seen(look: Look, made: Path) -> None:
    looked = look(made, DESK).page
    looked.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert looked.locator("table").count() == 6
    assert looked.locator(".drawing.wide svg").count() == 5
    assert unseen(looked, "table, td, th, .drawing.wide svg, .drawing.wide svg text, .drawing.wide svg path") == []
    assert unseen(looked, ".drawing.narrow svg") != []
    for drawn in looked.locator(".drawing.wide svg").all():
        assert len(drawn.locator("text").all()) >= 3


def test_colours_of_a_chart_are_those_of_the_page(look: Look, made: Path) -> None:
    colours = []
    for scheme in ("light", "dark"):
        looked = look(made, DESK, scheme).page
        script = "[...new Set([...document.querySelectorAll('svg path')].map(one => getComputedStyle(one).fill))]"
        colours.append(set(looked.evaluate(script)))
    assert all(colour.startswith("rgb(") for found in colours for colour in found)
    assert len(colours[0]) == len(colours[1]) >= 7
    assert not colours[0] & colours[1]


def test_text_stays_inside_its_drawing(look: Look, made: Path) -> None:
    for size, which in ((DESK, "wide"), (PHONE, "narrow")):
        out = look(made, size).page.evaluate(
            """which => [...document.querySelectorAll(`.drawing.${which} svg`)].flatMap(svg => {
                const frame = svg.getBoundingClientRect();
                return [...svg.querySelectorAll('text')].filter(one => {
                    const box = one.getBoundingClientRect();
                    return box.left < frame.left - 3 || box.right > frame.right + 3;
                }).map(one => one.textContent);
            })""",
            which,
        )
        assert out == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out_at_a_desk(look: Look, made: Path, scheme: Literal["light", "dark"]) -> None:
    looked = look(made, DESK, scheme).page
    looked.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert barriers(looked) == []


def test_nobody_is_kept_out_on_a_phone(look: Look, made: Path) -> None:
    looked = look(made, PHONE).page
    assert too_wide(looked) == 0
    assert unseen(looked, ".drawing.narrow svg, .drawing.narrow svg text") == []
    assert barriers(looked) == []


def test_a_wide_table_scrolls_by_key_in_its_own_place(look: Look, made: Path) -> None:
    looked = look(made, PHONE).page
    table = looked.locator("section > .scroll").first
    table.focus()
    assert table.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    looked.keyboard.press("ArrowRight")
    looked.wait_for_function("one => one.scrollLeft > 0", arg=table.element_handle())
    assert too_wide(looked) == 0


def test_the_numbers_of_a_chart_open_by_key(look: Look, made: Path) -> None:
    looked = look(made, DESK).page
    looked.locator("summary").first.focus()
    looked.keyboard.press("Enter")
    assert looked.locator("details").first.locator("table").is_visible()


def test_the_skip_link_comes_first_and_leads_to_the_record(look: Look, made: Path) -> None:
    looked = look(made, DESK).page
    looked.keyboard.press("Tab")
    box = looked.locator(".skip").bounding_box()
    assert box is not None and box["x"] >= 0
    looked.keyboard.press("Enter")
    assert looked.evaluate("document.activeElement.id") == "record"


def test_a_page_prints_in_light_colours_without_what_is_of_use_on_screens_only(look: Look, made: Path) -> None:
    looked = look(made, DESK, "dark").page
    looked.emulate_media(media="print")
    assert looked.evaluate("getComputedStyle(document.body).color") == "rgb(27, 32, 39)"
    assert not looked.locator("nav").is_visible()
    assert not looked.locator("summary").first.is_visible()
    assert looked.locator(".drawing.wide").first.is_visible()
    assert looked.evaluate("getComputedStyle(document.querySelector('thead')).display") == "table-header-group"
    printed = looked.pdf(prefer_css_page_size=True)
    assert printed.startswith(b"%PDF-")
    assert 3 <= printed.count(b"/Type /Page\n") <= 6


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_every_report_is_a_sound_page(look: Look, mixed: logs.LogBuilder, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "report.html"
    ran = crawl_audit("report", kind, mixed.root, "--format", "html", "--lang", "ja", "-o", path)
    assert (ran.code, ran.err) == (0, "")
    looked = look(path, PHONE, "dark")
    assert (looked.said, looked.asked) == ([], [path.as_uri()])
    assert too_wide(looked.page) == 0
    assert barriers(looked.page) == []
