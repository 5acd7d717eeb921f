"""The site's judgement → the one decided on, with the operator's policy: signals that deny, exemptions that allow.

What robots.txt says stays in the decision either way: group, rule, line, digest and Protego's answer are the site's,
only verdict, basis and detail change, so a reader can decide again without the policy and see the difference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from crawl_audit.exemptions import Exemptions
from crawl_audit.identity import Crawler
from crawl_audit.records import Basis, Instant, Verdict
from crawl_audit.resolved_path import as_resolved
from crawl_audit.robots import Judgement
from crawl_audit.signal_policy import SignalPolicy
from crawl_audit.target import Target
from crawl_audit.tdmrep import TdmrepEntry
from crawl_audit.text import storable
from crawl_audit.wishes import NONE, Wishes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What is decided on: the judgement after policy, the exemption that covers the request, the pace asked."""

    judgement: Judgement
    exemption: str | None = None
    request_interval_ms: int | None = None

    @property
    def interval_ms(self) -> int:
        """How far apart the site asks requests to be, by Crawl-delay and Request-rate; 0 where it does not."""
        return max(self.judgement.crawl_delay_ms or 0, self.request_interval_ms or 0)


class Policy:
    """What the operator declared; without anything it changes nothing."""

    def __init__(self, exemptions: Exemptions | None = None, signals: SignalPolicy | None = None) -> None:
        self._exemptions = Exemptions() if exemptions is None else exemptions
        self._signals = SignalPolicy() if signals is None else signals

    def ruling(
        self,
        judgement: Judgement,
        crawler: Crawler,
        target: Target,
        at: Instant,
        wishes: Wishes = NONE,
        tdmrep: tuple[TdmrepEntry, ...] = (),
    ) -> Ruling:
        """The ruling on a request at that time; a judgement that is an error stays one, whatever is declared."""
        if judgement.basis is Basis.ERROR:
            return Ruling(judgement=judgement)
        interval_ms = None if target.is_robots_txt else wishes.request_interval_ms(at)
        if self._signals and judgement.verdict is Verdict.ALLOWED and not target.is_robots_txt:
            refusal = self._refusal(crawler.purpose, target.target, wishes, tdmrep)
            if refusal is not None:
                judgement = replace(judgement, verdict=Verdict.DISALLOWED, basis=Basis.SIGNAL, detail=refusal)
        exemption = self._exemptions.covering(crawler.id, target, at)
        if exemption is None:
            return Ruling(judgement=judgement, request_interval_ms=interval_ms)
        if judgement.verdict is Verdict.DISALLOWED:
            judgement = _exempted(judgement, exemption.id)
        return Ruling(judgement=judgement, exemption=exemption.id, request_interval_ms=interval_ms)

    def _refusal(self, purpose: str | None, target: str, wishes: Wishes, tdmrep: tuple[TdmrepEntry, ...]) -> str | None:
        """As robots.txt is judged: by the path as sent, and by what a site may resolve it to."""
        others = (other.decode("utf-8", "surrogateescape") for other in as_resolved(target.encode("utf-8", "replace")))
        found = (self._signals.refusal(purpose, each, wishes, tdmrep) for each in (target, *others))
        return next((refusal for refusal in found if refusal is not None), None)


def _exempted(judgement: Judgement, exemption: str) -> Judgement:
    why = f" ({judgement.detail})" if judgement.detail else ""
    detail = storable(f"Without exemption {exemption}: disallowed by {judgement.basis}{why}", 700)
    return replace(judgement, verdict=Verdict.ALLOWED, basis=Basis.EXEMPTION, detail=detail)
