"""The feed of changes of the crawler cards: Atom (RFC 4287), made whole from a history that only we write.

CoP 1.3(4): affected rightsholders are informed automatically when such information is updated, "such as by
syndicating a web feed". The feed itself is never read back: XML that somebody else may have touched is not parsed.
"""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from reports.prose import Prose
from reports.render import visible
from reports.words import Words

ENTRIES_MAX = 200
"""Entries kept, the latest first."""
VALUE_MAX = 500
"""Characters of a value before and after; the card has all of it."""
CHANGES_MAX = 200
"""Changes told in one entry."""
_ATOM = "http://www.w3.org/2005/Atom"
_XML = "http://www.w3.org/XML/1998/namespace"
_XHTML = "http://www.w3.org/1999/xhtml"


class Event(StrEnum):
    """What happened to a card."""

    PUBLISHED = "published"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A field of a card before and after; None: it was not, or is no longer, there."""

    field: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One card published, changed or removed; ``id`` is an IRI that never changes, ``updated`` an RFC 3339 instant."""

    id: str
    updated: str
    crawler: str
    name: str
    event: Event
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a feed is made of; entries the latest first."""

    id: str
    begun: str
    entries: tuple[Entry, ...] = ()

    def with_entries(self, entries: list[Entry]) -> History:
        """The history with new entries, and no more than :data:`ENTRIES_MAX` of all."""
        return History(id=self.id, begun=self.begun, entries=(*entries, *self.entries)[:ENTRIES_MAX])

    @property
    def updated(self) -> str:
        """When the latest entry came."""
        return self.entries[0].updated if self.entries else self.begun


def new_id() -> str:
    """An IRI for a feed or an entry, unique for ever (RFC 4287 4.2.6)."""
    return uuid.uuid4().urn


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """What differs between two cards, field by field, in the order of their names."""
    old, new = dict(_flat(before)), dict(_flat(after))
    changed = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return tuple(
        Change(field=name[:VALUE_MAX], before=_short(old.get(name)), after=_short(new.get(name)))
        for name in changed[:CHANGES_MAX]
    )


def _flat(value: Any, place: str = "") -> list[tuple[str, str]]:
    """(path, text) of every value inside; a list of plain values is one value."""
    if isinstance(value, Mapping):
        return [one for key, inner in value.items() for one in _flat(inner, f"{place}.{key}" if place else str(key))]
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return [one for index, inner in enumerate(value) for one in _flat(inner, f"{place}[{_called(inner, index)}]")]
    if isinstance(value, list):
        return [(place, ", ".join(str(one) for one in value))]
    if isinstance(value, bool):
        return [(place, "true" if value else "false")]
    return [(place, Prose(str(value)))]


def _called(value: Any, index: int) -> str:
    names = (value.get(key) for key in ("protocol", "name")) if isinstance(value, dict) else ()
    return next((name for name in names if isinstance(name, str)), str(index + 1))


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= VALUE_MAX else text[: VALUE_MAX - 1] + "…"


def to_json(history: History) -> dict[str, Any]:
    """The history as it is kept."""
    return asdict(history)


def from_json(content: Any) -> History:
    """The history that :func:`to_json` gave; raises ValueError where it is none."""
    entries = tuple(_entry(one) for one in _list(_get(content, "entries")))
    return History(id=_string(content, "id"), begun=_string(content, "begun"), entries=entries[:ENTRIES_MAX])


def _entry(content: Any) -> Entry:
    changes = tuple(
        Change(field=_string(one, "field"), before=_optional(one, "before"), after=_optional(one, "after"))
        for one in _list(_get(content, "changes"))
    )
    names = {name: _string(content, name) for name in ("id", "updated", "crawler", "name")}
    return Entry(event=Event(_string(content, "event")), changes=changes, **names)


def _get(content: Any, name: str) -> Any:
    if not isinstance(content, dict) or name not in content:
        raise ValueError(f"it has no {name}")
    return content[name]


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("it has no list where one belongs")
    return value


def _optional(content: Any, name: str) -> str | None:
    return None if _get(content, name) is None else _string(content, name)


def _string(content: Any, name: str) -> str:
    value = _get(content, name)
    if not isinstance(value, str):
        raise ValueError(f"its {name} is no text")
    return value


def atom(history: History, *, author: str, base: str | None, words: Words) -> str:
    """The feed (RFC 4287 4.1.1), always the same for the same history; ``base`` is where its directory is served."""
    ET.register_namespace("", _ATOM)
    ET.register_namespace("xhtml", _XHTML)
    root = ET.Element(f"{{{_ATOM}}}feed", {f"{{{_XML}}}lang": words.language})
    _text(root, "title", words("Changes of crawler cards"))
    _text(root, "id", history.id)
    _text(root, "updated", history.updated)
    _text(ET.SubElement(root, f"{{{_ATOM}}}author"), "name", author)
    _text(root, "generator", "crawl-audit")
    if base is not None:
        _link(root, "self", base + "feed.atom", "application/atom+xml")
        _link(root, "alternate", base, "text/html")
    for entry in history.entries:
        _add(root, entry, base, words)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="utf-8"?>\n', "\n")
    )


def _add(root: ET.Element, entry: Entry, base: str | None, words: Words) -> None:
    made = ET.SubElement(root, f"{{{_ATOM}}}entry")
    title = {
        Event.PUBLISHED: words("{name}: card published", name=entry.name),
        Event.CHANGED: words("{name}: card changed", name=entry.name),
        Event.REMOVED: words("{name}: card removed", name=entry.name),
    }[entry.event]
    _text(made, "title", title)
    _text(made, "id", entry.id)
    _text(made, "updated", entry.updated)
    if base is not None and entry.event is not Event.REMOVED:
        _link(made, "alternate", f"{base}{entry.crawler}.json", "application/json")
    content = ET.SubElement(made, f"{{{_ATOM}}}content", {"type": "xhtml"})
    division = ET.SubElement(content, f"{{{_XHTML}}}div")
    for line in _lines(entry, words):
        ET.SubElement(division, f"{{{_XHTML}}}p").text = _xml(line)


def _lines(entry: Entry, words: Words) -> list[str]:
    if entry.event is Event.PUBLISHED:
        return [words("The card of this crawler is published for the first time.")]
    if entry.event is Event.REMOVED:
        return [words("This crawler is no longer among those declared, configured or in the log.")]
    nothing = words("nothing")
    return [
        words(
            "{field}: from {before} to {after}",
            field=one.field,
            before=nothing if one.before is None else words("“{text}”", text=one.before),
            after=nothing if one.after is None else words("“{text}”", text=one.after),
        )
        for one in entry.changes
    ]


def _text(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, f"{{{_ATOM}}}{name}").text = _xml(text)


def _link(parent: ET.Element, relation: str, address: str, kind: str) -> None:
    ET.SubElement(parent, f"{{{_ATOM}}}link", {"rel": relation, "href": _xml(address), "type": kind})


def _xml(text: str) -> str:
    """Text without what XML 1.0 cannot hold, or a reader cannot see; the writer escapes markup."""
    return visible(text).replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
