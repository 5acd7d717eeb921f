"""Showing the heads of a directory's logs to those outside who are configured, and keeping what they give for it.

Everybody is asked at the same time and nobody's silence holds up another; who failed is asked again next time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from crawl_audit.errors import CrawlAuditError, LogFormatError
from proxy_addon import pushing, timestamping, witnessing
from proxy_addon.anchor_settings import AnchorSettings
from proxy_addon.log_directory import LogDirectory
from proxy_addon.operational_log import about
from proxy_addon.pushing import Keeper
from proxy_addon.receipts import Ask, Receipt, Receipts, Shown
from proxy_addon.seal_leaves import SealLeaves
from proxy_addon.timestamping import TimestampAuthority
from proxy_addon.witnessing import Witness

logger = logging.getLogger("crawl_audit.anchors")

# Resolving a name and connecting to several addresses is not bounded by the time-out of each.
_GRACE_S = 5.0
_OTHERS_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One authority and how it is asked."""

    method: str
    name: str
    ask: Ask


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of showing one head: receipts that are kept, and why others are missing."""

    shown: Shown
    receipts: list[Receipt] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """The outcome as JSON."""
        return {
            "log": self.shown.log,
            "checkpoint_size": self.shown.head.size,
            "receipts": [
                {"method": one.method, "authority": one.authority, "stated_at_us": one.stated_at}
                for one in self.receipts
            ],
            "failures": self.failures,
        }


def authorities(settings: AnchorSettings, directory: LogDirectory, receipts: Receipts) -> list[Asked]:
    """Everybody who is configured; raises ConfigurationError where a file of theirs cannot be used."""
    leaves = SealLeaves(directory)
    found = [
        Asked(method=timestamping.METHOD, name=one.name, ask=TimestampAuthority(one, settings.timeout_s).ask)
        for one in settings.timestamps
    ]
    for one in settings.witnesses:
        witness = Witness(
            one,
            settings.timeout_s,
            leaves=leaves.first,
            known=lambda log, name=one.name: receipts.known(log).get(name, 0),  # type: ignore[misc]
            enrolment=lambda log: _enrolment(directory, log),
        )
        found.append(Asked(method=witnessing.METHOD, name=one.name, ask=witness.ask))
    found += [
        Asked(method=pushing.METHOD, name=place.name, ask=Keeper(place, settings.timeout_s).ask)
        for place in settings.pushes
    ]
    return found


def _enrolment(directory: LogDirectory, log: str) -> str | None:
    path = directory.checkpoints / f"{log}.enrolment"
    return path.read_text(encoding="utf-8") if path.exists() else None


class Anchoring:
    """The authorities of one log directory; every method blocks and is for a thread of its own."""

    def __init__(
        self, directory: LogDirectory, settings: AnchorSettings, on_failure: Callable[[str], object] = str
    ) -> None:
        """``on_failure`` is told the method of every failure.  Raises ConfigurationError."""
        self.faults: dict[str, str] = {}  # by authority, as of the last time it was asked
        self._directory = directory
        self._receipts = Receipts(directory)
        self._authorities = authorities(settings, directory, self._receipts)
        self._patience_s = settings.timeout_s + _GRACE_S
        self._on_failure = on_failure
        self._refused: Counter[str] = Counter()  # by log, how often somebody gave no receipt

    def show(self, shown: Shown) -> Outcome:
        """Show a head to all who have given no receipt for it yet, and keep what they give."""
        earlier = self._receipts.note(shown.log, shown.head.size)
        if earlier is not None and Shown.of(shown.log, earlier).head == shown.head:
            shown = Shown.of(shown.log, earlier)
        outcome = Outcome(shown=shown)
        asked = self._missing(shown)
        try:
            if asked:
                self._receipts.keep_note(shown)
        except OSError as error:
            self._failed(outcome, asked, f"The checkpoint that is to be shown cannot be kept: {error}")
            return outcome
        found: dict[str, Receipt | str] = {}  # what each thread leaves behind
        threads = [threading.Thread(target=_ask, args=(one, shown, found), daemon=True) for one in asked]
        for thread in threads:
            thread.start()
        until = time.monotonic() + self._patience_s
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        for one in asked:
            self._take(outcome, one, found.get(one.name, f"{one.name} did not answer in time."))
        return outcome

    def show_last(self, log: str) -> Outcome | None:
        """Show the head of a log as its checkpoint file has it; None where there is none that can be shown."""
        path = self._directory.checkpoint(log)
        try:
            return self.show(Shown.of(log, path.read_text(encoding="utf-8")))
        except (LogFormatError, OSError, UnicodeDecodeError) as error:
            logger.warning(
                "The checkpoint of %s cannot be shown to anybody: %s", log, error, extra=about("anchor_failed")
            )
            return None

    def show_others(
        self, besides: str | None = None, *, ours: Callable[[str], bool] = bool, within_s: float = _OTHERS_S
    ) -> list[Outcome]:
        """Show the heads of finished logs that somebody has not seen, until the time is over.

        Newest first, and those that were refused before after those that were not.  ``ours``: which logs are this
        process's to show, where several write to the directory.
        """
        until = time.monotonic() + within_s
        logs = [log for log in reversed(self._directory.logs()) if log != besides and ours(log)]
        shown: list[Outcome] = []
        for log in sorted(logs, key=lambda log: self._refused[log]):
            if time.monotonic() > until:
                break
            if not self._directory.checkpoint(log).exists() or not self._unseen(log):
                continue
            outcome = self.show_last(log)
            if outcome is None or outcome.failures:
                self._refused[log] += 1
            if outcome is not None:
                shown.append(outcome)
        return shown

    def _unseen(self, log: str) -> bool:
        """Whether somebody has not seen the newest head; one that cannot be read counts as unseen."""
        try:
            return bool(self._missing(Shown.of(log, self._directory.checkpoint(log).read_text(encoding="utf-8"))))
        except (LogFormatError, OSError, UnicodeDecodeError):
            return True

    def _missing(self, shown: Shown) -> list[Asked]:
        known = self._receipts.known(shown.log)
        return [one for one in self._authorities if known.get(one.name, 0) < shown.head.size]

    def _take(self, outcome: Outcome, asked: Asked, found: Receipt | str) -> None:
        if isinstance(found, str):
            self._failed(outcome, [asked], found)
            return
        try:
            self._receipts.keep(outcome.shown, found)
        except OSError as error:
            self._failed(outcome, [asked], f"The receipt of {asked.name} cannot be kept: {error}")
            return
        self.faults.pop(asked.name, None)
        outcome.receipts.append(found)

    def _failed(self, outcome: Outcome, asked: Sequence[Asked], why: str) -> None:
        for one in asked:
            logger.warning("%s was not anchored: %s", outcome.shown.log, why, extra=about("anchor_failed"))
            self.faults[one.name] = outcome.failures[one.name] = why
            self._on_failure(one.method)


def _ask(asked: Asked, shown: Shown, found: dict[str, Receipt | str]) -> None:
    try:
        found[asked.name] = asked.ask(shown)
    except (CrawlAuditError, OSError, ValueError) as error:
        found[asked.name] = str(error)
