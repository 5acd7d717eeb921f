"""What a record is limited to: a site or host, which everybody may know, and a single URL, which holds more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reports.fields import Field, Form, Show, Source
from reports.matching import Subject
from reports.words import Words

ONE_URL = "exact URL"
SCOPES = (ONE_URL, "origin", "registrable domain", "host and subdomains", "host and port", "host")
FIELDS = (
    Field(
        name="query",
        form=Form.TEXT,
        meaning="the site, host or origin it is limited to, of a URL its origin; null: none",
        label="Limited to",
        source=Source.GIVEN,
        none=True,
    ),
    Field(
        name="query_scope",
        form=Form.TEXT,
        meaning="how it is limited; null: it is not",
        label="Scope",
        source=Source.TOOL,
        words=SCOPES,
        none=True,
    ),
    Field(
        name="query_url",
        form=Form.TEXT,
        meaning="the URL it is limited to, as it was searched; null: none",
        label="Limited to the URL",
        source=Source.GIVEN,
        none=True,
        regulator=Show.KEYED,
        reason="trade_secret",
        note="paths and queries may name persons; the origin is given",
    ),
)


def limited(subject: Subject | None) -> dict[str, str | None]:
    """The values of :data:`FIELDS`."""
    if subject is None:
        return dict.fromkeys(("query", "query_scope", "query_url"))
    return {
        "query": replace(subject, target=None).normalised,
        "query_scope": subject.match_scope,
        "query_url": None if subject.target is None else subject.normalised,
    }


def sentence(shown: dict[str, Any], words: Words) -> str | None:
    """What a record is limited to, in the words its level allows; None where it is not limited."""
    if shown["query"] is None:
        return None
    if shown["query_scope"] != ONE_URL:
        return words("Limited to {query}.", query=shown["query"])
    url = shown.get("query_url")
    if url is None:
        return words("Limited to a single URL at {query}, which is withheld.", query=shown["query"])
    return words("Limited to a single URL at {query}: {url}.", query=shown["query"], url=url)


def unlimited(shown: dict[str, Any]) -> dict[str, Any]:
    """A shown record without what is said by :func:`sentence`."""
    return {name: value for name, value in shown.items() if name not in {field.name for field in FIELDS}}
