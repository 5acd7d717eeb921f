"""Which usage preferences deny a request: the operator's word for each protocol and each purpose of a crawler.

Only what is known before the request can deny it: Content-Signal and Content-Usage lines of robots.txt, and TDMRep's
file.  What an answer carries is recorded and no more; by then the request has been made.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from crawl_audit.tdmrep import TdmrepEntry, reservation_for
from crawl_audit.text import storable
from crawl_audit.wishes import Wishes


class Purpose(StrEnum):
    """What content is crawled for, as far as preferences tell uses apart."""

    TRAINING = "training"
    SEARCH = "search"
    USER = "user"


class Word(StrEnum):
    """What is done about a preference that refuses the use."""

    RECORD = "record"
    DENY = "deny"


# The category of each protocol that speaks of a purpose; AIPREF vocab-07 has none for input to a running model.
_CATEGORIES = {
    "content-signal": {Purpose.TRAINING: "ai-train", Purpose.SEARCH: "search", Purpose.USER: "ai-input"},
    "content-usage": {Purpose.TRAINING: "train-ai", Purpose.SEARCH: "search"},
}
_TDMREP = "tdmrep"
PROTOCOLS = (*_CATEGORIES, _TDMREP)
"""The protocols that can deny."""
_DECLARED = {"training": Purpose.TRAINING, "search": Purpose.SEARCH, "user_fetch": Purpose.USER}


class SignalPolicy:
    """The operator's policy; without words it denies nothing."""

    def __init__(self, words: Mapping[str, Mapping[str, str] | str] | None = None) -> None:
        """``words``: protocol → `record` or `deny`, or purpose → one of them; as in the settings a run records."""
        self._denied: dict[str, frozenset[Purpose]] = {}
        for protocol, word in (words or {}).items():
            by_purpose = dict.fromkeys(Purpose, word) if isinstance(word, str) else word
            denied = frozenset(Purpose(purpose) for purpose, said in by_purpose.items() if said == Word.DENY)
            if protocol in PROTOCOLS and denied:
                self._denied[protocol] = denied

    def __bool__(self) -> bool:
        """Whether it can deny anything."""
        return bool(self._denied)

    def denied(self, protocol: str) -> frozenset[Purpose]:
        """The uses whose refusal by a protocol denies a request; never one that the protocol has no word for."""
        known = frozenset(_CATEGORIES.get(protocol, Purpose))
        return self._denied.get(protocol, frozenset()) & known

    def refusal(
        self, purpose: str | None, target: str, wishes: Wishes, tdmrep: tuple[TdmrepEntry, ...] = ()
    ) -> str | None:
        """Why a crawler with this declared ``purpose`` may not fetch ``target``, as one sentence; None: it may.

        A purpose that is not declared, or none of the three, counts as all of them: nobody has said that it is not.
        """
        declared = _DECLARED.get(purpose or "")
        for protocol, denied in self._denied.items():
            for each in Purpose if declared is None else (declared,):
                if each not in denied:
                    continue
                found = _refused(protocol, each, target, wishes, tdmrep)
                if found is not None:
                    return storable(f"{protocol} refuses the use for {each}: {found}.", 500)
        return None


def _refused(
    protocol: str, purpose: Purpose, target: str, wishes: Wishes, tdmrep: tuple[TdmrepEntry, ...]
) -> str | None:
    """What refuses the use, as one phrase; TDMRep reserves the rights to a path whatever the purpose."""
    if protocol == _TDMREP:
        entry = reservation_for(tdmrep, target)
        return f"tdmrep.json reserves {entry.location}" if entry is not None and entry.reserved else None
    category = _CATEGORIES[protocol].get(purpose)
    return None if category is None else wishes.refused(protocol, category, target)
