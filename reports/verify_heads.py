"""Checks H1 to H7 and S5: the tree of seals has the heads that were signed, pinned and shown, under the right key.

The log's own signature keeps strangers out; only heads that somebody else kept show that the operator did not write
the history anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from crawl_audit.enrolment import trusted_enrolment
from crawl_audit.errors import LogFormatError
from crawl_audit.seal import Checkpoint, Verifier, origin, parse_checkpoint, parse_note, verify_note
from reports.brought import Brought, Pin
from reports.evidence import DamagedError, Evidence
from reports.findings import Findings, Severity, Tally
from reports.verify_seals import SealTree


class Keys:
    """Which keys may sign the heads of which log, by the run records of the evidence."""

    def __init__(self, evidence: Evidence, findings: Findings) -> None:
        self._own: dict[str, str] = {}
        self._after: dict[str, list[str]] = {}
        for log in evidence.logs:
            for vkey, previous in _runs(evidence, log):
                if self._own.setdefault(log, vkey) != vkey:
                    message = "Its run records name two keys; a log has one."
                    findings.add("S5", Severity.ERROR, log, message)
                if previous is not None:
                    self._after.setdefault(previous, []).append(log)

    def vkey(self, log: str) -> str | None:
        """The key that the log's own first run record names."""
        return self._own.get(log)

    def of(self, log: str) -> list[str]:
        """The keys that may sign heads of ``log``: its own, and those of the logs that recovered it."""
        return [self._own[name] for name in (log, *self._later(log)) if name in self._own]

    def after(self, log: str, vkeys: Collection[str]) -> list[str]:
        """The logs that say they came after ``log``, and whose own key is one of ``vkeys``."""
        return [name for name in self._later(log) if self._own.get(name) in vkeys]

    def _later(self, log: str) -> list[str]:
        made, waiting, seen = [], [log], {log}
        while waiting:
            following = [later for later in self._after.get(waiting.pop(0), ()) if later not in seen]
            seen.update(following)
            made.extend(following)
            waiting.extend(following)
        return made


def vouches(evidence: Evidence, log: str, vkey: str | None, trust: Sequence[Verifier]) -> bool:
    """Whether ``vkey`` is trusted itself, or enrolled for ``log`` by a trusted key."""
    if any(key.vkey == vkey for key in trust):
        return True
    note = evidence.enrolment(log)
    try:
        enrolled, _ = trusted_enrolment(note or "", trust)
    except LogFormatError:
        return False
    return enrolled.log == log and enrolled.key.vkey == vkey


def _runs(evidence: Evidence, log: str) -> list[tuple[str, str | None]]:
    try:
        return [
            (vkey, previous)
            for vkey, previous in evidence.rows("run", log, ("checkpoint_key", "previous_log"), order="seq")
            if vkey is not None
        ]
    except DamagedError:
        return []


def check(evidence: Evidence, tree: SealTree, keys: Keys, brought: Brought, findings: Findings, tally: Tally) -> None:
    """Check the checkpoint of one log, its key, and every pin of it."""
    log = tree.log
    tally.key = keys.vkey(log)
    signers = _parsed(keys.of(log), log, findings)
    shown = _own_checkpoint(evidence, log, signers, findings)
    if shown is not None:
        _check_own_head(evidence, tree, shown[0], findings, tally)
        _check_successor(evidence, tree, keys, shown, brought.trust, findings)
    held = [pin for pin in brought.pins if pin.head is not None and pin.head.origin == origin(log)]
    is_live = _is_live(evidence, tree, tally)
    vouched = [_check_pin(pin, tree, signers, brought, findings, tally, is_live=is_live) for pin in held]
    if not any(vouched):
        _check_key(evidence, log, tally.key, brought.trust, findings)


def _parsed(vkeys: Sequence[str], log: str, findings: Findings) -> list[Verifier]:
    made = []
    for vkey in vkeys:
        try:
            made.append(Verifier.parse(vkey))
        except LogFormatError as error:
            findings.add("H1", Severity.ERROR, log, f"A key that a run record names cannot be used: {error}")
    return made


def _own_checkpoint(
    evidence: Evidence, log: str, signers: Sequence[Verifier], findings: Findings
) -> tuple[Checkpoint, tuple[Verifier, ...]] | None:
    """The head that the log's own checkpoint states and who signed it, where it can be believed to be the log's."""
    note = evidence.checkpoint(log)
    where = f"{log} checkpoint"
    if note is None:
        message = "There is no checkpoint: nobody signed these seals, anybody could have made them."
        findings.add("H1", Severity.WARNING, log, message)
        return None
    try:
        parsed = parse_note(note)
        head = parse_checkpoint(parsed.text)
        signed = verify_note(note, signers)
    except LogFormatError as error:
        findings.add("H1", Severity.ERROR, where, str(error))
        return None
    if head.origin != origin(log):
        findings.add("H1", Severity.ERROR, where, f"It is a checkpoint of {head.origin}, not of this log.")
        return None
    if not signed:
        names = ", ".join(f"{line.name}+{line.key_id.hex()}" for line in parsed.signatures[:3])
        message = f"It is signed by {names}, which no run record of this log, or of one that recovered it, names."
        findings.add("S5", Severity.ERROR, where, message)
        return None
    return head, signed


def _check_successor(
    evidence: Evidence,
    tree: SealTree,
    keys: Keys,
    shown: tuple[Checkpoint, tuple[Verifier, ...]],
    trust: Sequence[Verifier],
    findings: Findings,
) -> None:
    """S5, H6: only a log that was recovered has a head by another's key, and that key needs somebody's word, too.

    Otherwise anybody could write a log anew and sign it with the key of a log of theirs that says it came after.
    """
    head, signed = shown
    vkeys = {verifier.vkey for verifier in signed}
    if keys.vkey(tree.log) in vkeys or head.size > tree.size:
        return
    where = f"{tree.log} checkpoint"
    if tree.seals[-1].reason != "recovered":
        message = (
            "It is signed by the key of a later log, which only signs for a log that it recovered; this one is not."
        )
        findings.add("S5", Severity.ERROR, where, message)
    elif not any(vouches(evidence, later, keys.vkey(later), trust) for later in keys.after(tree.log, vkeys)):
        message = "It is signed by the log that recovered this one; nobody you trust vouches for that log's key."
        findings.add("H6", Severity.WARNING, where, message)


def _check_own_head(evidence: Evidence, tree: SealTree, head: Checkpoint, findings: Findings, tally: Tally) -> None:
    where = f"{tree.log} checkpoint"
    if head.size > tree.size:
        live = _is_live(evidence, tree, tally)
        why = (
            "the rest is in live files: `crawl-audit-proxy seal` publishes them"
            if live
            else "the end of the log is missing"
        )
        message = f"It states {head.size} seals, the log has {tree.size}: {why}."
        findings.add("H3", Severity.WARNING if live else Severity.ERROR, where, message)
        return
    if head.root != tree.root(head.size):
        message = f"Its root over {head.size} seals is not that of the seals here: they were changed, or are others."
        findings.add("H2", Severity.ERROR, where, message)
        return
    if head.size < tree.size:
        message = f"It states {head.size} seals; seals {head.size} to {tree.size - 1} are signed by nobody."
        findings.add("H2", Severity.ERROR if tally.closed else Severity.WARNING, where, message)
    if head.size:
        tally.reached("A0", *tree.range_of(0, head.size), "the log's own signature")


def _is_live(evidence: Evidence, tree: SealTree, tally: Tally) -> bool:
    """Whether seals may be missing because they are not published yet."""
    return not tally.closed and bool(evidence.live_files(tree.log))


def _check_pin(
    pin: Pin,
    tree: SealTree,
    signers: Sequence[Verifier],
    brought: Brought,
    findings: Findings,
    tally: Tally,
    *,
    is_live: bool,
) -> bool:
    """Hold the log to one pin; whether the pin bears out the log's key, too."""
    where = f"{tree.log} pin {pin.name}"
    assert pin.head is not None, "only pins with a head are held against a log"
    sound = True
    if pin.head.size > tree.size:
        message = (
            f"The pin states {pin.head.size} seals, the log has {tree.size}: its end is missing, or not published yet"
            " (then have it sealed and copied again)."
        )
        findings.add("H3", Severity.WARNING if is_live else Severity.ERROR, where, message)
        sound = False
    elif pin.head.root != tree.root(pin.head.size):
        message = f"The first {pin.head.size} seals are not those that were pinned: the log was written anew."
        findings.add("H4", Severity.ERROR, where, message)
        sound = False
    try:
        signed = verify_note(pin.note, [*signers, *brought.trust])
    except LogFormatError as error:
        findings.add("H1", Severity.ERROR, where, str(error))
        return False
    if not signed:
        message = "No key that the log names, and none that you trust, signed this pin: another key made that log."
        findings.add("H1", Severity.ERROR, where, message)
        return False
    if sound and pin.head.size:
        tally.reached("A3", *tree.range_of(0, pin.head.size), f"pin {pin.name}")
    return sound and pin.head.size > 0  # a head over nothing does not cover the record that names the key


def _check_key(evidence: Evidence, log: str, vkey: str | None, trust: Sequence[Verifier], findings: Findings) -> None:
    """H6: somebody the auditor trusts says that this key is this log's."""
    if vkey is not None and any(key.vkey == vkey for key in trust):
        return
    note = evidence.enrolment(log)
    if note is not None:
        try:
            enrolled, _ = trusted_enrolment(note, trust)
        except LogFormatError as error:
            if trust:
                findings.add("H6", Severity.WARNING, f"{log} enrolment", f"It cannot be relied on: {error}")
                return
        else:
            if enrolled.log == log and enrolled.key.vkey == vkey:
                return
            message = "A trusted key enrolled another key for this log: what is here was not made by it."
            findings.add("H6", Severity.ERROR, f"{log} enrolment", message)
            return
    message = "Only the log itself says which key is its own: bring a fleet key (--trust) or a pin."
    findings.add("H6", Severity.WARNING, log, message)


def check_vouched(tree: SealTree, findings: Findings, tally: Tally) -> None:
    """H5: which records no pin and no witness vouches for; after everything else had its say on levels."""
    if not tree.size:
        return
    last = max((reached.last_seq for reached in tally.levels if reached.level == "A3"), default=-1)
    index = next((index for index, seal in enumerate(tree.seals) if seal.seq > last), None)
    if index is not None:
        low, high = tree.range_of(index, tree.size)
        message = (
            f"Records {low} to {high} (seals {index} to {tree.size - 1}) rest on the operator's word: no pin of yours"
            " and no witness saw them."
        )
        findings.add("H5", Severity.WARNING, tree.log, message)


def check_absent(evidence: Evidence, trees: Mapping[str, SealTree], brought: Brought, findings: Findings) -> None:
    """H7 and H3: pins and checkpoints of logs that are not here at all; H1: pins that are none."""
    for pin in brought.pins:
        if pin.head is None:
            findings.add("H1", Severity.ERROR, f"pin {pin.name}", f"This pin cannot be used: {pin.fault}")
        elif pin.head.origin.removeprefix("crawl-audit/") not in trees:
            message = f"You hold a head of {pin.head.origin} with {pin.head.size} seals; that log is not here."
            findings.add("H7", Severity.ERROR, f"pin {pin.name}", message)
    for log in evidence.checkpointed():
        if log not in trees:
            live = bool(evidence.live_files(log))
            message = "There is a checkpoint of this log and no record of it" + (
                ": they are in live files still (`crawl-audit-proxy seal` publishes them)." if live else "."
            )
            findings.add("H3", Severity.WARNING if live else Severity.ERROR, log, message)
