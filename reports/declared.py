"""What recorded settings declare, as the kernel's values: the policy, and what each crawler is for."""

from __future__ import annotations

from typing import Any, Self

from crawl_audit.exemptions import Exemption, Exemptions, recorded_exemption
from crawl_audit.identity import Crawler
from crawl_audit.policy import Policy, Ruling
from crawl_audit.records import Instant
from crawl_audit.robots import Judgement, Rules
from crawl_audit.signal_policy import SignalPolicy
from crawl_audit.target import Target
from crawl_audit.wishes import NONE
from reports.recorded_settings import listed

_CRAWLERS_MAX = 1024


class Declared:
    """The declarations of one run; false where they can change no judgement."""

    def __init__(self, exemptions: list[Exemption], signals: SignalPolicy, purposes: dict[str, str | None]) -> None:
        self._policy = Policy(Exemptions(exemptions), signals)
        self._declares = bool(exemptions) or bool(signals)
        self._purposes = purposes
        self._crawlers: dict[tuple[str, tuple[str, ...]], Crawler] = {}

    @classmethod
    def by(cls, settings: dict[str, Any]) -> Self:
        """Those of recorded settings; what is no declaration in them declares nothing."""
        signals = settings.get("signals")
        words = signals.get("policy") if isinstance(signals, dict) else None
        exemptions = [made for one in listed(settings, "exemptions") if (made := _exemption(one)) is not None]
        purposes = {str(one.get("id")): one.get("purpose") for one in listed(settings, "crawlers")}
        said = {name: purpose if isinstance(purpose, str) else None for name, purpose in purposes.items()}
        return cls(exemptions, _signal_policy(words), said)

    def __bool__(self) -> bool:
        return self._declares

    def crawler(self, name: str, tokens: tuple[str, ...]) -> Crawler:
        """The crawler with its declared purpose."""
        key = (name, tokens)
        made = self._crawlers.get(key)
        if made is None:
            if len(self._crawlers) >= _CRAWLERS_MAX:
                self._crawlers.clear()
            made = Crawler(id=name, product_tokens=tokens, purpose=self._purposes.get(name))
            self._crawlers[key] = made
        return made

    def ruling(self, judged: Judgement, crawler: Crawler, target: Target, at: Instant, rules: Rules | None) -> Ruling:
        """The operator's policy on a judgement, at that time."""
        return self._policy.ruling(judged, crawler, target, at, NONE if rules is None else rules.wishes)


def _exemption(said: dict[str, Any]) -> Exemption | None:
    try:
        return recorded_exemption(said)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _signal_policy(words: Any) -> SignalPolicy:
    try:
        return SignalPolicy(words if isinstance(words, dict) else None)
    except (AttributeError, TypeError, ValueError):
        return SignalPolicy()


NOTHING = Declared([], SignalPolicy(), {})
