"""Crawler cards as a directory to be served: a card for machines each, a page for people, a feed of what changed.

What was published before is read back from the cards themselves, and the history from a file beside them. The history
is written first: a publication that breaks off tells a change twice rather than never.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crawl_audit.errors import ConfigurationError
from reports import feed
from reports.agent_card import agent_card
from reports.feed import Entry, Event, History
from reports.page.page import page
from reports.period import iso, now
from reports.render import Document, json_text
from reports.words import Words

HISTORY = "_changes.json"
"""Not a name that a card can have: ids begin with a letter or a digit."""
FEED = "feed.atom"
PAGE = "index.html"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_CARD_MAX = 1 << 20
_HISTORY_MAX = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What a publication did, by the crawlers' ids."""

    published: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


def publish(shown: Mapping[str, Any], document: Document, words: Words, directory: str) -> Publication:
    """Bring ``directory`` up to date with a public `crawler_card` record; raises ConfigurationError."""
    root = Path(directory)
    base = shown["cards_uri"]
    names = [_name(one["crawler"]) for one in shown["crawlers"]]
    _refuse_clashes(names)
    cards = {
        name: agent_card(one, None if base is None else f"{base}{name}.json")
        for name, one in zip(names, shown["crawlers"], strict=True)
    }
    called = {name: one["client_name"] or name for name, one in zip(names, shown["crawlers"], strict=True)}
    history = _history(root)
    entries = _entries(root, history, cards, called)
    history = history.with_entries(entries)
    author = shown["operator"]["legal_name"] or words("operator not supplied")
    try:
        root.mkdir(exist_ok=True)
        _write(root / HISTORY, json_text(feed.to_json(history)))
        _write(root / FEED, feed.atom(history, author=author, base=base, words=words))
        for name, card in cards.items():
            _write(root / f"{name}.json", json_text(card))
        for entry in entries:
            if entry.event is Event.REMOVED:
                (root / f"{entry.crawler}.json").unlink(missing_ok=True)
        _write(root / PAGE, _with_feed(page(document)))
    except OSError as error:
        raise ConfigurationError(f"The cards cannot be written to {directory}: {error.strerror}.") from error
    return _publication(entries)


def _publication(entries: list[Entry]) -> Publication:
    of = {event: tuple(one.crawler for one in entries if one.event is event) for event in Event}
    return Publication(published=of[Event.PUBLISHED], changed=of[Event.CHANGED], removed=of[Event.REMOVED])


def _name(crawler: str) -> str:
    if _NAME.fullmatch(crawler) is None:
        raise ConfigurationError(
            f"The crawler {crawler[:64]!r} of the log has an id that no file can have: publish a period without it."
        )
    return crawler


def _refuse_clashes(names: list[str]) -> None:
    """On some file systems names that differ in capitals only are one file."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise ConfigurationError(f"The crawlers {other} and {name} would share one file: rename one of them.")


def _history(root: Path) -> History:
    """The history beside the cards, or a new one."""
    path = root / HISTORY
    if not path.exists():
        if (root / FEED).exists():
            raise ConfigurationError(
                f"{root} has a {FEED} without the {HISTORY} it was made of: bring that back, or remove {FEED} to begin"
                " a new feed."
            )
        return History(id=feed.new_id(), begun=iso(now()) or "")
    try:
        return feed.from_json(_json(path, _HISTORY_MAX))
    except ValueError as error:
        raise ConfigurationError(
            f"{path} is not the history of a feed ({error}): bring back the one that `report card --publish` wrote."
        ) from error


def _json(path: Path, limit: int) -> Any:
    """The JSON in a file of at most ``limit`` octets; raises ValueError or ConfigurationError."""
    try:
        with path.open("rb") as file:
            octets = file.read(limit + 1)
        if len(octets) > limit:
            raise ValueError("it is too large")
        return json.loads(octets)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _entries(
    root: Path, history: History, cards: Mapping[str, Mapping[str, Any]], called: Mapping[str, str]
) -> list[Entry]:
    """An entry for each card that is new, differs from the published one, or is no longer there."""
    # Times go forward even where the clock was set back.
    at = max(iso(now()) or "", history.updated)
    made = []
    for name, card in cards.items():
        before = _published(root / f"{name}.json")
        if before == card:
            continue
        event = Event.PUBLISHED if before is None else Event.CHANGED
        changes = () if before is None else feed.differences(before, card)
        made.append(Entry(id=feed.new_id(), updated=at, crawler=name, name=called[name], event=event, changes=changes))
    latest: dict[str, Entry] = {}
    for one in history.entries:
        latest.setdefault(one.crawler, one)
    gone = [one for name, one in latest.items() if name not in cards and one.event is not Event.REMOVED]
    made += [
        Entry(id=feed.new_id(), updated=at, crawler=one.crawler, name=one.name, event=Event.REMOVED)
        for one in gone
        if _NAME.fullmatch(one.crawler)
    ]
    return made


def _published(path: Path) -> dict[str, Any] | None:
    """The card published before; None where there is none."""
    if not path.exists():
        return None
    try:
        content = _json(path, _CARD_MAX)
        if not isinstance(content, dict):
            raise ValueError("it is no object")
    except ValueError as error:
        raise ConfigurationError(
            f"The published card {path} cannot be read ({error}): remove it to publish the card anew."
        ) from error
    return content


def _with_feed(html: str) -> str:
    """The page with the feed announced to programs that look for one (RFC 4287 says nothing of it; WHATWG HTML does).

    It is an address within the directory, and nothing loads it by itself.
    """
    return html.replace("</head>", f'<link rel="alternate" type="application/atom+xml" href="{FEED}">\n</head>', 1)


def _write(path: Path, text: str) -> None:
    """Replace a file whole, so that a server never sees half of it."""
    made = path.with_name(f".{path.name}.new")
    made.write_text(text, encoding="utf-8", newline="")
    os.replace(made, path)
