"""Until when a robots.txt holds: what the site asks, within what RFC 9309 2.4 and politeness allow.

There is no grace: a copy past its time is fetched again before anything is judged by it.  And by default there is no
last good copy: while robots.txt is unreachable everything is disallowed (RFC 9309 2.3.1.4: "the crawler MUST assume
complete disallow"), because a permission that the site can no longer withdraw is not one to rely on in an audit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from crawl_audit.records import Instant, RobotsOutcome

_SECOND = 1_000_000  # µs
_DIRECTIVE = re.compile(r'([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*(?:"([^"]*)"|([^",\s]*)))?')
_SECONDS = re.compile(r"[0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How long copies hold, in seconds."""

    ttl_s: float = 3600
    """Without Cache-Control.  RFC 9309 2.4 would allow 24 h; an hour bounds how long a withdrawn permission is still
    relied on, at a price of one (mostly conditional) request an hour and host."""

    ttl_min_s: float = 60
    """With ``no-cache``, ``no-store`` or a shorter ``max-age``: a site must not make us fetch before every request."""

    ttl_max_s: float = 86_400
    """With a longer ``max-age``: RFC 9309 2.4, "SHOULD NOT use the cached version for more than 24 hours"."""

    unreachable_ttl_s: float = 60
    """How long an unreachable robots.txt is not asked again; doubles with each failure in a row."""

    unreachable_ttl_max_s: float = 300
    """Where the doubling ends: a site that is back must not stay disallowed for long."""

    retry_after_max_s: float = 3600
    """How long Retry-After is obeyed at most."""

    def valid_until(
        self,
        at: Instant,
        outcome: RobotsOutcome,
        *,
        cache_control: str | None,
        age: str | None,
        retry_after: str | None,
        failures: int,
    ) -> Instant:
        """The end of validity of an answer complete at ``at``, the ``failures``-th unreachable one in a row."""
        if outcome is RobotsOutcome.UNREACHABLE:
            seconds = self._until_retry(retry_after, failures)
        else:
            seconds = self._lifetime(cache_control, age)
        return Instant(at + round(seconds * _SECOND))

    def _lifetime(self, cache_control: str | None, age: str | None) -> float:
        directives = cache_directives(cache_control)
        if "no-cache" in directives or "no-store" in directives:
            return min(self.ttl_min_s, self.ttl_max_s)
        # RFC 9111 5.2.2.10: s-maxage is for shared caches, which a sidecar of many crawlers is; the shorter is safe.
        # RFC 9111 4.2.1: what cannot be read counts as stale.
        asked = [_seconds(directives[name]) or 0 for name in ("max-age", "s-maxage") if name in directives]
        lifetime = min(asked) - (_seconds(age) or 0) if asked else self.ttl_s
        return min(max(lifetime, self.ttl_min_s), self.ttl_max_s)

    def _until_retry(self, retry_after: str | None, failures: int) -> float:
        doubled = self.unreachable_ttl_s * 2.0 ** min(max(failures - 1, 0), 16)
        own = max(self.unreachable_ttl_s, min(doubled, self.unreachable_ttl_max_s))
        asked = min(_seconds(retry_after) or 0, self.retry_after_max_s)
        return min(max(own, asked), self.ttl_max_s)


def cache_directives(cache_control: str | None) -> dict[str, str | None]:
    """Cache-Control as name → argument, names in lower case; the first of a name counts (RFC 9111 4.2.1)."""
    directives: dict[str, str | None] = {}
    for name, quoted, bare in _DIRECTIVE.findall(cache_control or ""):
        directives.setdefault(name.lower(), quoted or bare or None)
    return directives


def _seconds(value: str | None) -> float | None:
    """A delay in seconds; None for a date or anything else.  Values beyond 2**31 mean 2**31 (RFC 9111 1.2.2)."""
    text = (value or "").strip()
    if not _SECONDS.fullmatch(text):
        return None
    return float(2**31) if len(text) > 10 else float(min(int(text), 2**31))
