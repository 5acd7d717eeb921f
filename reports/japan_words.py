"""The fixed words of a statement under Japan's Principle Code as people read them; strange words stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.words import Words


def status(value: str | None, words: Words) -> str:
    """What the operator states of an item."""
    named = {
        "comply": words("Comply"),
        "partial": words("Partly comply"),
        "explain": words("Explain"),
        "not_applicable": words("Not applicable"),
    }
    return _named(value, named, words)


def acceptance(value: str | None, words: Words) -> str:
    """Whether the operator accepts the code."""
    named = {
        "accepts": words("the code is accepted"),
        "partially": words("the code is accepted in part"),
        "not": words("the code is not accepted"),
    }
    return _named(value, named, words)


def role(value: str | None, words: Words) -> str:
    """The operator's role in the words of the code."""
    named = {
        "developer": words("developer of generative AI"),
        "provider": words("provider of generative AI"),
        "both": words("developer and provider of generative AI"),
    }
    return _named(value, named, words)


def support(item: dict[str, Any], words: Words) -> str:
    """What the status of an item rests on."""
    if item["support"] is not None:
        on_log = item["support"] == "log and operator"
        return words("operator, with facts of the log") if on_log else words("operator assertion")
    return words("outside the log") if item["outside_tool"] else "–"


def item_basis(item: dict[str, Any], words: Words) -> str:
    """How the wording of an item is known, and whose word that is where it is not the tool's."""
    mark = str(item["basis_mark"])
    return words("{mark} (says the operator)", mark=mark) if item["basis_by"] == "operator" else mark


def reason(code: str, words: Words) -> str:
    """Why an item is not, or not wholly, implemented."""
    named = {
        "trade_secret": words("trade secret"),
        "security": words("security"),
        "personal_data": words("personal data"),
        "third_party": words("rights or secrets of third parties"),
        "not_collected": words("not collected"),
        "not_applicable": words("not applicable"),
        "other": words("other reason"),
    }
    return named.get(code, code)


def to_weigh(fact: str, words: Words) -> str:
    """What the log shows that a reader weighs against the status."""
    named = {
        "violations": words("disallowed requests were forwarded"),
        "without_token": words("some User-Agents hold no product token"),
        "faster_than_asked": words("some requests came faster than the site asks"),
        "slow_down_answers": words("some answers asked to slow down (429, 503)"),
        "barriers": words("some answers show an access barrier"),
    }
    return named.get(fact, fact)


def _named(value: str | None, named: Mapping[str, str], words: Words) -> str:
    return words("withheld: not supplied") if value is None else named.get(value, value)
