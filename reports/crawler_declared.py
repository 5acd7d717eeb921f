"""What the operator declares of a crawler, in its file and in recorded settings, as the values of its record."""

from __future__ import annotations

from typing import Any

from reports.card_fields import PURPOSE_CODES
from reports.declarations import Crawler
from reports.levels import Month

_SAME = (
    "client_name",
    "operated_by",
    "on_behalf_of",
    "purpose_code",
    "purpose",
    "trigger",
    "targeted_content",
    "docs_uri",
    "contacts",
    "ips_uri",
    "jwks_uri",
    "captcha_policy",
    "password_policy",
    "paywall_policy",
    "other_protocols",
    "rate_control",
    "rate_expectation",
    "content_and_sources",
    "site_types",
    "languages",
    "regions",
)
_TEXT_MAX = 500
# The sidecar's word for a purpose that the operator file has another for.
_CODES = {"search": "search_index"}


def declared(said: Crawler, settings: dict[str, Any]) -> dict[str, Any]:
    """The declared fields of the record of activity; ``settings`` are those recorded for this crawler."""
    lists, earlier = said.exclusion_lists, said.earlier_period
    return {
        **{name: getattr(said, name) for name in _SAME},
        "configured_purpose": setting(settings, "purpose"),
        "expected_user_agent": said.expected_user_agent or setting(settings, "user_agent"),
        "exclusion_lists": None if lists is None else [one.model_dump() for one in lists],
        "period_source": "log" if earlier is None else "log and operator",
        "earlier_from": None if earlier is None else Month(earlier.start),
        "earlier_to": None if earlier is None else Month(earlier.end),
    }


def setting(settings: dict[str, Any], name: str) -> str | None:
    """A text of a crawler's settings; None where a log holds none, or something else there."""
    value = settings.get(name)
    return value[:_TEXT_MAX] if isinstance(value, str) and value else None


def purpose(said: Crawler, settings: dict[str, Any]) -> tuple[str | None, str | None]:
    """The code of what a crawler is for, and who says it: `operator file`, else `settings`; (None, None): nobody."""
    if said.purpose_code is not None:
        return said.purpose_code, "operator file"
    configured = setting(settings, "purpose")
    code = _CODES.get(configured or "", configured)
    return (code, "settings") if code in PURPOSE_CODES else (None, None)
