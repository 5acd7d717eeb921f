"""Cards published to a directory: a feed tells every change once, its reader finds valid Atom, nothing is lost."""

from __future__ import annotations

import copy
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import feedparser
import pytest

from crawl_audit.errors import ConfigurationError
from reports import feed, publishing
from reports.feed import Change, Entry, Event, History
from reports.render import Document
from reports.words import ENGLISH, Language, Words
from tests import logs
from tests.reports.command import crawl_audit
from tests.reports.operator_files import everything

Card = dict[str, Any]


class Site:
    """A directory that cards are published to, with a clock of its own."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory / "public"
        self.at = datetime.fromisoformat("2026-11-20T09:00:00")
        monkeypatch.setattr(publishing, "now", lambda: self.at)

    def publish(self, record: Card, words: Words = ENGLISH) -> publishing.Publication:
        document = Document(title="Crawler cards")
        return publishing.publish(json.loads(json.dumps(record)), document, words, str(self.directory))

    def refused(self, record: Card) -> str:
        with pytest.raises(ConfigurationError) as caught:
            self.publish(record)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    @property
    def feed(self) -> Any:
        return feedparser.parse(self.file("feed.atom"))

    def card(self, name: str) -> Card:
        made: Card = json.loads(self.file(f"{name}.json"))
        return made

    def file(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def made(mixed: logs.LogBuilder, tmp_path_factory: pytest.TempPathFactory) -> Card:
    """A public record of cards, of which nothing is left out."""
    file = tmp_path_factory.mktemp("operator") / "operator.toml"
    file.write_text(everything(mixed), encoding="utf-8")
    shown: Card = crawl_audit("report", "card", mixed.root, "--operator", file, "--format", "json").json
    return shown


@pytest.fixture
def full(made: Card) -> Card:
    """That record, to be changed."""
    return copy.deepcopy(made)


def without(record: Card, *names: str) -> Card:
    """A record without some of its crawlers."""
    return {**record, "crawlers": [one for one in record["crawlers"] if one["crawler"] not in names]}


def check_atom(octets: bytes) -> Any:
    """What RFC 4287 asks of a feed and of each entry, as another program reads it."""
    read = feedparser.parse(octets)
    assert not read.bozo, read.get("bozo_exception")
    assert read.version == "atom10"
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", read.feed.id)  # 4.2.6
    assert read.feed.title and read.feed.author  # 4.1.1, 4.2.14
    instants = [read.feed.updated, *(entry.updated for entry in read.entries)]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one) for one in instants)  # 3.3, RFC 3339
    assert read.feed.updated == max(instants)
    ids = [entry.id for entry in read.entries]
    assert len({*ids, read.feed.id}) == len(ids) + 1
    assert octets.count(b"<xhtml:div") == len(read.entries)  # 3.1.1.3: one div, and nothing else
    for entry in read.entries:
        assert entry.title and entry.content[0].type == "application/xhtml+xml"  # 4.1.2, 4.1.3.1
    return read


def test_the_command_publishes_cards_page_and_feed(mixed: logs.LogBuilder, tmp_path: Path) -> None:
    operator, directory = tmp_path / "operator.toml", tmp_path / "public"
    operator.write_text(everything(mixed), encoding="utf-8")
    ran = crawl_audit("report", "card", mixed.root, "--operator", operator, "--publish", directory, "--strict")
    assert ran == (0, "Published for the first time: alpha, pair.\n", "")
    names = sorted(path.name for path in directory.iterdir())
    assert names == ["_changes.json", "alpha.json", "feed.atom", "index.html", "pair.json"]
    check_atom((directory / "feed.atom").read_bytes())
    page = (directory / "index.html").read_text(encoding="utf-8")
    assert '<link rel="alternate" type="application/atom+xml" href="feed.atom">' in page.partition("</head>")[0]
    assert "User-agent: BetaBot" in page
    again = crawl_audit("report", "card", mixed.root, "--publish", directory, "--level", "internal", "--strict")
    assert (again.code, again.out) == (3, "Changed: alpha, pair.\n")
    assert mixed.log not in (directory / "index.html").read_text(encoding="utf-8")  # public whatever --level says


def test_the_first_publication_tells_of_every_card(site: Site, full: Card) -> None:
    assert site.publish(full).published == ("alpha", "pair")
    read = check_atom(site.file("feed.atom"))
    assert [entry.title for entry in read.entries] == ["AlphaBot: card published"] * 2
    assert read.feed.author == "Example Labs K.K."
    links = {(one.rel, one.href) for one in read.feed.links}
    assert ("self", "https://example.com/crawlers/feed.atom") in links
    (link,) = (one.href for one in read.entries[0].links if one.type == "application/json")
    assert link == "https://example.com/crawlers/alpha.json" == site.card("alpha")["client_id"]


def test_a_publication_without_a_change_adds_nothing(site: Site, full: Card) -> None:
    site.publish(full)
    before = {name: site.file(name) for name in ("feed.atom", "_changes.json", "alpha.json", "pair.json")}
    site.at = datetime.fromisoformat("2026-11-21T00:00:00")
    assert site.publish(full) == publishing.Publication(published=(), changed=(), removed=())
    assert {name: site.file(name) for name in before} == before


def test_a_change_is_told_with_what_it_was_and_is(site: Site, full: Card) -> None:
    site.publish(full)
    first = site.feed
    site.at = datetime.fromisoformat("2026-11-21T00:00:00")
    alpha = full["crawlers"][0]
    alpha |= {"trigger": "fetcher", "rfc9309_compliance": None, "operated_by": "<b>A</b> & Co."}
    assert site.publish(full).changed == ("alpha",)
    read = check_atom(site.file("feed.atom"))
    assert [entry.title for entry in read.entries] == ["AlphaBot: card changed", *(e.title for e in first.entries)]
    assert [entry.id for entry in read.entries[1:]] == [entry.id for entry in first.entries]
    assert [entry.updated for entry in read.entries] == ["2026-11-21T00:00:00Z", *["2026-11-20T09:00:00Z"] * 2]
    assert read.feed.id == first.feed.id
    lines = re.findall(r"<p>(.*?)</p>", read.entries[0].content[0].value)
    assert lines == [
        "crawl_audit.operated_by: from “Example Labs K.K.” to “&lt;b&gt;A&lt;/b&gt; &amp; Co.”",
        "web_bot_auth.rfc9309-compliance: from “true” to nothing",
        "web_bot_auth.trigger: from “crawler” to “fetcher”",
    ]


def test_a_crawler_that_is_gone_is_told_once_and_its_card_removed(site: Site, full: Card) -> None:
    site.publish(full)
    site.at = datetime.fromisoformat("2026-11-21T00:00:00")
    assert site.publish(without(full, "pair")).removed == ("pair",)
    assert not (site.directory / "pair.json").exists()
    assert check_atom(site.file("feed.atom")).entries[0].title == "AlphaBot: card removed"
    assert site.publish(without(full, "pair")).removed == ()
    assert site.publish(full).published == ("pair",)
    titles = [entry.title for entry in check_atom(site.file("feed.atom")).entries]
    assert titles[:2] == ["AlphaBot: card published", "AlphaBot: card removed"]


def test_nothing_to_publish_is_a_feed_too(site: Site, full: Card) -> None:
    site.publish(without(full, "alpha", "pair"))
    assert site.feed.feed.updated == "2026-11-20T09:00:00Z"
    check_atom(site.file("feed.atom"))


def test_times_go_forward_though_the_clock_does_not(site: Site, full: Card) -> None:
    site.publish(full)
    site.at = datetime.fromisoformat("2020-01-01T00:00:00")
    full["crawlers"][0]["trigger"] = "fetcher"
    site.publish(full)
    assert check_atom(site.file("feed.atom")).entries[0].updated == "2026-11-20T09:00:00Z"


def test_a_publication_that_broke_off_tells_its_change_at_the_next(
    site: Site, full: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish(full)
    full["crawlers"][0]["trigger"] = "fetcher"
    with monkeypatch.context() as broken:

        def stop(*_: object) -> None:
            raise OSError(28, "No space left on device")

        broken.setattr("os.replace", stop)
        assert "cannot be written" in site.refused(full)
    assert site.card("alpha")["web_bot_auth"]["trigger"] == "crawler"
    assert site.publish(full).changed == ("alpha",)
    assert len(check_atom(site.file("feed.atom")).entries) == 3


def test_at_most_200_entries_are_kept() -> None:
    history = History(id=feed.new_id(), begun="2026-01-01T00:00:00Z")
    for number in range(feed.ENTRIES_MAX + 5):
        at = f"2026-01-01T{number // 60:02d}:{number % 60:02d}:00Z"
        one = Entry(id=feed.new_id(), updated=at, crawler="a", name=str(number), event=Event.CHANGED)
        history = history.with_entries([one])
    assert len(history.entries) == feed.ENTRIES_MAX
    assert (history.entries[0].name, history.entries[-1].name) == ("204", "5")
    assert feed.from_json(json.loads(json.dumps(feed.to_json(history)))) == history
    check_atom(feed.atom(history, author="x", base=None, words=ENGLISH).encode())


def test_whatever_stands_in_a_card_the_feed_is_atom() -> None:
    evil = "]]><script>alert(1)</script>&\x00\x0b\x1b[2J\u202e\u2028\ufffe\uffff\ud800\"'"
    changes = (Change(field=evil, before=evil, after=None), Change(field="x", before=None, after=evil))
    one = Entry(
        id=feed.new_id(), updated="2026-01-01T00:00:00Z", crawler="a", name=evil, event=Event.CHANGED, changes=changes
    )
    history = History(id=feed.new_id(), begun=one.updated, entries=(one,))
    octets = feed.atom(history, author=evil, base="https://example.com/?a=1&b=<", words=ENGLISH).encode()
    read = check_atom(octets)
    assert b"<script" not in octets
    assert "script" in read.entries[0].title  # as text


def test_differences_name_each_value_that_is_other() -> None:
    before = {"a": {"b": 1, "gone": True}, "list": ["x", "y"], "tables": [{"protocol": "rsl", "done": "no"}, {"z": 1}]}
    after = {"a": {"b": 1, "new": False}, "list": ["x"], "tables": [{"protocol": "rsl", "done": "yes"}, {"z": 1}]}
    assert [(one.field, one.before, one.after) for one in feed.differences(before, after)] == [
        ("a.gone", "true", None),
        ("a.new", None, "false"),
        ("list", "x, y", "x"),
        ("tables[rsl].done", "no", "yes"),
    ]
    assert feed.differences(before, before) == ()
    (long,) = feed.differences({"a": "x" * 600}, {"a": "y"})
    assert long.before is not None and len(long.before) == feed.VALUE_MAX


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        "[]",
        "{}",
        '{"id": 3, "begun": "x", "entries": []}',
        '{"id": "x", "begun": "y", "entries": {}}',
        '{"id": "x", "begun": "y", "entries": [3]}',
        '{"id": "x", "begun": "", "entries": [{"id": "x", "updated": "", "crawler": "c", "name": "n", "changes": []}]}',
        "[" * 100_000,
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
)
def test_a_history_that_is_none_is_refused(site: Site, full: Card, content: str) -> None:
    site.publish(full)
    (site.directory / "_changes.json").write_text(content, encoding="latin-1")
    assert "is not the history of a feed" in site.refused(full)


def test_a_feed_without_its_history_is_refused(site: Site, full: Card) -> None:
    site.publish(full)
    (site.directory / "_changes.json").unlink()
    assert "feed.atom without the _changes.json" in site.refused(full)


def test_the_old_feed_is_never_read(site: Site, full: Card) -> None:
    site.publish(full)
    before = site.file("feed.atom")
    (site.directory / "feed.atom").write_text('<!DOCTYPE x [<!ENTITY a "a"><!ENTITY b "&a;&a;">]><feed>&b;</broken>')
    site.publish(full)
    assert site.file("feed.atom") == before


@pytest.mark.parametrize("content", ["no json", "[]", "[" * 100_000, "x" * ((1 << 20) + 1)])
def test_a_published_card_that_cannot_be_read_is_refused(site: Site, full: Card, content: str) -> None:
    site.publish(full)
    (site.directory / "alpha.json").write_text(content)
    assert "remove it to publish the card anew" in site.refused(full)


def test_a_history_cannot_lead_out_of_the_directory(site: Site, full: Card, tmp_path: Path) -> None:
    site.publish(full)
    victim = tmp_path / "victim.json"
    victim.write_text("mine")
    history = json.loads(site.file("_changes.json"))
    history["entries"].append({**history["entries"][0], "crawler": "../victim", "event": "published"})
    (site.directory / "_changes.json").write_text(json.dumps(history))
    site.publish(full)
    assert victim.read_text() == "mine"


@pytest.mark.parametrize(
    ("names", "said"),
    [(("../x", "y"), "has an id that no file can have"), (("News", "news"), "would share one file")],
)
def test_ids_of_a_log_that_are_no_names_of_files_are_refused(
    site: Site, full: Card, names: tuple[str, str], said: str
) -> None:
    for one, name in zip(full["crawlers"], names, strict=True):
        one["crawler"] = name
    assert said in site.refused(full)
    assert not site.directory.exists()


def test_a_directory_that_cannot_be_written_is_said_so(site: Site, full: Card) -> None:
    site.directory.write_text("a file")
    assert re.search("cannot be (written|read)", site.refused(full))


def test_a_feed_in_japanese_is_marked_so(site: Site, full: Card) -> None:
    site.publish(full, Words(Language.JA))
    assert b'xml:lang="ja"' in site.file("feed.atom")
    check_atom(site.file("feed.atom"))
