"""What the operator's recorded settings do about usage preferences and unreachable files, over the runs of a period."""

from __future__ import annotations

from typing import Any

from crawl_audit.records import Mode
from crawl_audit.signal_policy import PROTOCOLS, Word
from reports.in_force import SECOND, allowances
from reports.log import Log
from reports.period import Period
from reports.recorded_settings import settings_object
from reports.reservations import ROBOTS_TXT, Use

DENIED = "denied"
VIOLATION = "recorded as violation"
RECORDED = "recorded only"
POLICIES = (DENIED, VIOLATION, RECORDED)
"""What a run does about a refusal: stops the request, forwards it as a violation (audit mode), or notes the wish."""

_PURPOSES = {
    Use.TRAINING: ("training",),
    Use.SEARCH: ("search",),
    Use.INPUT: ("user",),
    Use.ANY: ("training", "search", "user"),
}


class Runs:
    """The settings of the runs that reach into a period, each kind of them once."""

    def __init__(self, log: Log, period: Period) -> None:
        """Read them."""
        rows = log.rows("opt_out_settings", **period.parameters)
        self._runs = [(str(row["mode"]), settings_object(row["settings"]), row["starts"]) for row in rows]

    def policy(self, protocol: str, use: str | None) -> list[str]:
        """What the runs do where ``protocol`` refuses ``use``; several words where the settings differ.

        Only what robots.txt and tdmrep.json say can deny; a refusal found in an answer came too late for its request.
        """
        if use is None:
            return []
        found = {_policy(protocol, Use(use), mode, settings) for mode, settings, _ in self._runs}
        return [word for word in POLICIES if word in found]

    def last_good_copy_s(self) -> list[str]:
        """The oldest copies, in seconds, that might stay in force while robots.txt was unreachable; 0: none."""
        found = {allowances(settings).last_good_us // SECOND for _, settings, _ in self._runs}
        return [str(seconds) for seconds in sorted(found)]

    def treat_429_as_unreachable(self) -> list[str]:
        """What the runs made of status 429, `yes` being the default."""
        found = set()
        for _, settings, _ in self._runs:
            robots = settings.get("robots")
            said = robots.get("treat_429_as_unreachable", True) if isinstance(robots, dict) else True
            found.add("no" if said is False else "yes")
        return sorted(found)

    def modes(self) -> dict[str, int]:
        """How many starts were in which mode."""
        found: dict[str, int] = {}
        for mode, _, starts in self._runs:
            found[mode] = found.get(mode, 0) + starts
        return dict(sorted(found.items()))


def _policy(protocol: str, use: Use, mode: str, settings: dict[str, Any]) -> str:
    heeded = protocol == ROBOTS_TXT or (protocol in PROTOCOLS and _denies(protocol, use, settings))
    if not heeded:
        return RECORDED
    return DENIED if mode == Mode.ENFORCE else VIOLATION


def _denies(protocol: str, use: Use, settings: dict[str, Any]) -> bool:
    """Whether the recorded policy denies every purpose that the refusal is about."""
    signals = settings.get("signals")
    policy = signals.get("policy") if isinstance(signals, dict) else None
    word = policy.get(protocol) if isinstance(policy, dict) else None
    by_purpose = word if isinstance(word, dict) else dict.fromkeys(("training", "search", "user"), word)
    return all(by_purpose.get(purpose) == Word.DENY for purpose in _PURPOSES[use])
