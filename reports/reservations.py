"""What counts as a reservation of rights: which readings of which protocols refuse which use, in one table.

Every report that says "opt-out" means this table. Crawl-delay, Request-rate, Visit-time and Retry-After ask for a pace
and are no reservation; neither is a licence or a price, whose terms stand elsewhere and are not read (docs/signals.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any


class Use(StrEnum):
    """The use that is refused."""

    TRAINING = "training"  # training of models
    SEARCH = "search"  # a search index
    INPUT = "input"  # input to a running model, for example to ground an answer
    ANY = "any"  # whatever the purpose: training is among it


AGAINST_TRAINING = (Use.TRAINING, Use.ANY)
"""The uses whose refusal is a reservation against training."""

ROBOTS_TXT = "robots.txt"
"""The name of a robots.txt that disallows the crawler everything, among the protocols."""
BLANKET_RULE = r"(?i)^d[a-z]+\s*[:\s]\s*(/|/?\*+)$"
"""A disallow rule for every path, as written; misspellings that are taken for `Disallow` begin with a d too."""

_WORDS: dict[str, dict[Use, tuple[str, ...]]] = {
    "content-signal": {Use.TRAINING: ("ai-train=no",), Use.SEARCH: ("search=no",), Use.INPUT: ("ai-input=no",)},
    "content-usage": {Use.TRAINING: ("train-ai=n",), Use.SEARCH: ("search=n",)},
    "tdmrep": {Use.ANY: ("reserved",)},  # text and data mining, whatever for
    "x-robots-tag": {Use.TRAINING: ("noai", "noimageai"), Use.SEARCH: ("noindex", "none")},
    "meta-robots": {Use.TRAINING: ("noai", "noimageai"), Use.SEARCH: ("noindex", "none")},
}
NO_PREFERENCE = ("crawl-delay", "request-rate", "visit-time", "retry-after", "web-bot-auth")
"""Protocols that ask for a pace, or are the crawler's own: nothing about what content may be used for."""
PREFERENCES_ONLY = {"no_preference": list(NO_PREFERENCE)}
"""The same as the parameter of queries that count preferences."""


def table() -> Iterable[tuple[str, Use, str]]:
    """(protocol, use, word) of every word that refuses a use."""
    return [(protocol, use, word) for protocol, uses in _WORDS.items() for use, words in uses.items() for word in words]


def parameters() -> dict[str, Any]:
    """The table as query parameters; readings are taken apart there as :func:`refused` does it."""
    protocols, uses, words = zip(*table(), strict=True)
    return {
        "protocols": list(protocols),
        "uses": [use.value for use in uses],
        "words": list(words),
        **PREFERENCES_ONLY,
        "robots_txt": ROBOTS_TXT,
        "blanket": BLANKET_RULE,
    }


def refused(protocol: str, value: str | None) -> frozenset[Use]:
    """The uses that a signal with this reading (`value` as recorded) refuses."""
    said = [] if value is None else value.replace("; ", ", ").split(", ")
    return frozenset(use for known, use, word in table() if known == protocol and word in said)
