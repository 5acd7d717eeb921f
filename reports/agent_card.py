"""A crawler's card in the names of the IETF's Signature Agent Card, for machines to read.

draft-meunier-webbotauth-registry as of 2026-08-20: an individual draft whose names may change, hence one table of
them. "Unknown parameters MUST be ignored", so what the draft has no name for stands under one member of our own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from reports.words import ENGLISH

DRAFT = "draft-meunier-webbotauth-registry, 2026-08-20"
OWN = "crawl_audit"
"""The member that holds what the draft has no name for."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:", re.ASCII)
# "Values SHOULD be drawn from a controlled vocabulary": the categories of AIPREF where they fit.
_VOCABULARY = {"training": "train-ai", "search_index": "search"}


def _as_is(value: Any) -> Any:
    return value


def _first(values: list[str]) -> str | None:
    return values[0] if values else None


def _addresses(values: list[str]) -> list[str]:
    """Contacts are URIs there; a bare mail address becomes one."""
    return [f"mailto:{one}" if "@" in one and not _SCHEME.match(one) else one for one in values]


def _purpose(code: str) -> str:
    return _VOCABULARY.get(code, code)


MAPPING: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("client_name", "client_name", _as_is),
    ("client_uri", "docs_uri", _as_is),
    ("logo_uri", "logo_uri", _as_is),
    ("contacts", "contacts", _addresses),
    ("jwks_uri", "jwks_uri", _as_is),
    ("web_bot_auth.expected-user-agent", "expected_user_agent", _as_is),
    ("web_bot_auth.rfc9309-product-token", "product_tokens", _first),
    ("web_bot_auth.rfc9309-compliance", "rfc9309_compliance", _as_is),
    ("web_bot_auth.trigger", "trigger", _as_is),
    ("web_bot_auth.purpose", "purpose_code", _purpose),
    ("web_bot_auth.targeted-content", "targeted_content", ENGLISH.said),
    ("web_bot_auth.rate-control", "rate_control", _as_is),
    ("web_bot_auth.rate-expectation", "rate_expectation", _as_is),
    ("web_bot_auth.known-urls", "known_urls", _as_is),
    ("web_bot_auth.ips_uri", "ips_uri", _as_is),
)
"""Member of the card (a point leads into an object), field of our record, how the one becomes the other."""
OWN_FIELDS = (
    "operated_by",
    "on_behalf_of",
    "purpose_code",
    "purpose",
    "targeted_content",
    "product_tokens",
    "robots",
    "protocols",
    "other_protocols",
    "captcha_policy",
    "password_policy",
    "paywall_policy",
    "exclusion_lists",
    "how_to_block",
    "robots_snippet",
)
"""The fields under the member :data:`OWN`, by their own names."""


def agent_card(crawler: Mapping[str, Any], uri: str | None = None) -> dict[str, Any]:
    """The card of one crawler of a `crawler_card` record; ``uri`` is where it will be served.

    What is not known is left out: for the draft a parameter that is absent says nothing.
    """
    card: dict[str, Any] = {} if uri is None else {"client_id": uri}
    for path, name, become in MAPPING:
        value = None if crawler.get(name) is None else become(crawler[name])
        if value in (None, [], {}):
            continue
        *parents, member = path.split(".")
        place = card
        for parent in parents:
            place = place.setdefault(parent, {})
        place[member] = value
    card[OWN] = _known({name: crawler.get(name) for name in OWN_FIELDS})
    return card


def _known(value: Any) -> Any:
    """A value without what is not known or empty inside it."""
    if isinstance(value, dict):
        known = {name: _known(inner) for name, inner in value.items()}
        return {name: inner for name, inner in known.items() if inner not in (None, [], {})}
    return [_known(inner) for inner in value] if isinstance(value, list) else value
