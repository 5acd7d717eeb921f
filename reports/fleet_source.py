"""What a source of the fleet's job shows of each log: its signed head, the tree of its seals, who wrote it.

A source is a log directory, perhaps of somebody hostile: it is read through the form checks of evidence, and only
run records and seals are.  Nothing here says what a head means; that is for fleet_states.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from crawl_audit import schema, withholding
from crawl_audit.errors import LogFormatError, RecordError
from crawl_audit.records import Instant
from crawl_audit.seal import Checkpoint, Verifier, lines_by, origin, parse_checkpoint, parse_note, verify_note
from crawl_audit.text import is_storable
from reports.evidence import Evidence, open_evidence
from reports.evidence_form import LOG_NAME, SegmentFiles
from reports.findings import Findings, Severity
from reports.fleet_seen import Seal, Seals, Seen
from reports.log import NotALogError
from reports.remote_session import session
from reports.steadiness import ChangedError
from reports.verify_coverage import node_of
from reports.verify_seals import CLOSING, idle_interval_s

_ATTEMPTS = 3
_NODE_MAX = 200
_FAULTS_LISTED = 20
_OF_OTHERS = ("custody", "fleet")
"""Events of run records in logs that only speak of other logs: a custodian's, or a fleet log that lies in a source."""

_SIZE_MAX = 2**53 - 1
_SEAL = [name for name, _ in schema.stored_columns("seal")]


@dataclass(slots=True, kw_only=True)
class Found:
    """One log as a source shows it; ``fault``: why its head cannot be used."""

    log: str
    node: str
    log_key: str | None = None
    previous_logs: tuple[str, ...] = ()
    is_custodian: bool = False
    idle_s: float = 60.0
    head: Checkpoint | None = None
    signature: str | None = None
    fault: str | None = None
    seals: Seals = field(default_factory=Seals)

    def remembered(self) -> Seen | None:
        """What the next round needs of it: the tree up to its head; None where that was not whole here."""
        size = 0 if self.head is None else min(self.head.size, self.seals.size)
        if self.fault is not None or size < max(self.seals.base, 1):
            return None
        if size == self.seals.base:
            return self.seals.seen
        last = self.seals.read[size - self.seals.base - 1]
        return Seen(
            node=self.node,
            log_key=self.log_key,
            previous_logs=self.previous_logs,
            is_custodian=self.is_custodian,
            idle_s=self.idle_s,
            size=size,
            through=last.seq,
            peaks=tuple(peak.hex() for peak in self.seals.frontier(size).peaks),
            last_at=last.recorded_at,
            closing=last.closing,
        )


@dataclass(slots=True, kw_only=True)
class Source:
    """What one source showed: its logs, and sentences about what could not be read."""

    name: str
    logs: dict[str, Found] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    is_there: bool = True


def places(names: list[str]) -> list[str]:
    """The log directories that ``names`` stand for: each itself, or those in it where it is none itself."""
    made: list[str] = []
    for name in names:
        root = Path(name)
        if "://" in name or (root / "segments").is_dir() or not root.is_dir():
            made.append(name)
            continue
        inner = sorted(str(path) for path in root.iterdir() if not path.is_symlink() and (path / "segments").is_dir())
        made += inner or [name]
    return made


def local(place: str) -> str:
    """The directory that is read for a place: itself, or the whole copy of what lies at an address now."""
    return str(session.mirror(place, evidence=True).root) if "://" in place else place


def log_names(place: str) -> set[str] | None:
    """The logs that a place has anything of, by name only; None where it is no log directory."""
    root = Path(local(place))
    if not (root / "segments").is_dir():
        return None
    checkpoints = root / "checkpoints"
    found = {path.name for path in (root / "segments").iterdir()}
    found |= {path.stem for path in checkpoints.iterdir()} if checkpoints.is_dir() else set()
    return {name for name in found if LOG_NAME.fullmatch(name)}


def read(name: str, seen: Mapping[str, Seen], cache: Path) -> Source:
    """What a log directory or an address shows; trouble with what lies there is a fault of the source and no error.

    Of a log in ``seen``, only what came since is read, where the source still has what came before.  What is fetched
    is kept in ``cache``; raises ConfigurationError where an object store cannot be read.
    """
    place, faults = _here(name, cache)
    made = _read_directory(place, seen)
    made.faults = [*faults[:_FAULTS_LISTED], *made.faults]
    return made


def nodes(name: str, cache: Path) -> set[str]:
    """The sidecars whose logs a source shows; raises LogFormatError and ConfigurationError where it cannot be read."""
    with open_evidence(_here(name, cache)[0], only=_first_runs) as evidence:
        found = [Found(log=log, node=node_of(log)) for log in evidence.logs]
        for one in found:
            _run(evidence, one)
    return {one.node for one in found if not one.is_custodian}


def _first_runs(segments: list[SegmentFiles]) -> list[SegmentFiles]:
    firsts = (one for one in segments if one.first == 0 and "run" in one.files)
    return [replace(one, files={"run": one.files["run"]}) for one in firsts]


def _here(name: str, cache: Path) -> tuple[str, list[str]]:
    """The directory that shows what a source has, and sentences about what could not be brought there."""
    if "://" not in name:
        return name, []
    from reports import fleet_remote  # brings the client of object stores, which directories need not wait for

    root, faults = fleet_remote.heads_of(name, cache)
    return str(root), faults


def _read_directory(name: str, seen: Mapping[str, Seen]) -> Source:
    for left in reversed(range(_ATTEMPTS)):
        findings = Findings()
        newer = Newer(seen)
        try:
            with open_evidence(name, findings, only=newer) as evidence:
                made = _read(name, evidence, newer.used)
                changed = evidence.listed is not None and not evidence.listed.is_unchanged()
        except NotALogError as error:
            return Source(name=name, faults=[str(error)], is_there=False)
        except ChangedError as error:
            changed, made = True, Source(name=name, faults=[str(error)])
        if not changed:
            break
        if not left:
            made.faults.append(f"{name} changed while it was read: the next round looks again.")
    errors = [one for one in findings.listed() if one.severity is Severity.ERROR]
    made.faults += [f"{name} {one.where}: {one.message}" for one in errors[:_FAULTS_LISTED]]
    if len(errors) > _FAULTS_LISTED:
        made.faults.append(f"{name}: {len(errors) - _FAULTS_LISTED} more faults are not listed.")
    return made


class Newer:
    """Narrows segments to run records and seals, and those of a log that is remembered to what came since."""

    def __init__(self, seen: Mapping[str, Seen]) -> None:
        self._seen = seen
        self.used: dict[str, Seen] = {}

    def __call__(self, segments: list[SegmentFiles]) -> list[SegmentFiles]:
        """The segments to be read."""
        by_log: dict[str, list[SegmentFiles]] = {}
        for one in segments:
            by_log.setdefault(one.log, []).append(one)
        kept: list[SegmentFiles] = []
        for log, group in by_log.items():
            known = self._seen.get(log)
            if known is not None and _covers(group, known.through):
                self.used[log] = known
                kept += heads_only([one for one in group if one.last > known.through])
            else:
                kept += heads_only(group)
        return kept


def _covers(segments: list[SegmentFiles], through: int) -> bool:
    """Whether segments in order, by their names, leave nothing out from 0 to ``through``."""
    following = 0
    for one in segments:
        if one.first > following:
            break
        following = max(following, one.last + 1)
    return following > through


def heads_only(segments: list[SegmentFiles]) -> list[SegmentFiles]:
    """The files of seals and run records."""
    return [
        replace(one, files={kind: path for kind, path in one.files.items() if kind in ("run", "seal")})
        for one in segments
    ]


def _read(name: str, evidence: Evidence, seen: Mapping[str, Seen]) -> Source:
    made = Source(name=name)
    for log in sorted({*evidence.logs, *evidence.checkpointed(), *seen}):
        made.logs[log] = found = Found(log=log, node=node_of(log), seals=Seals(seen=seen.get(log)))
        try:
            _run(evidence, found)
            _seals(evidence, found)
        except (LogFormatError, RecordError) as error:
            found.fault = f"its records cannot be read: {error}"
        if any(refused == log for refused, _ in evidence.refused):
            found.fault = "files of it were refused"
    for found in made.logs.values():
        if found.fault is None:
            _head(evidence, found, _keys(found.log, made.logs))
    return made


def _keys(log: str, logs: Mapping[str, Found]) -> list[str]:
    """The keys that may sign heads of a log: its own, and those of the logs that came after it and recovered it."""
    waiting, seen = [log], {log}
    for one in waiting:
        following = [later.log for later in logs.values() if one in later.previous_logs and later.log not in seen]
        seen.update(following)
        waiting += following
    return [key for one in waiting if one in logs and (key := logs[one].log_key) is not None]


def _run(evidence: Evidence, found: Found) -> None:
    seen = found.seals.seen
    if seen is not None:
        found.node, found.log_key, found.previous_logs = seen.node, seen.log_key, seen.previous_logs
        found.is_custodian, found.idle_s = seen.is_custodian, seen.idle_s
        return
    columns = ("event", "node", "checkpoint_key", "previous_log", "settings")
    rows = list(evidence.rows("run", found.log, columns, order="seq"))
    first = next((row for row in rows if row[0] in ("start", *_OF_OTHERS)), None)
    if first is None:
        return
    event, node, key, _, settings = first
    if not (isinstance(node, str) and is_storable(node) and len(node) <= _NODE_MAX):
        raise RecordError("its run record names no sidecar")
    found.node, found.is_custodian = node, event in _OF_OTHERS
    found.log_key = None if key is None else Verifier.parse(key).vkey
    found.idle_s = idle_interval_s(settings)
    # A start may have finished several logs that were left open, each with a run record of its own.
    found.previous_logs = tuple(
        dict.fromkeys(row[3] for row in rows if row[3] is not None and LOG_NAME.fullmatch(row[3]))
    )


def _seals(evidence: Evidence, found: Found) -> None:
    seals = found.seals
    where = None if seals.seen is None else f"seq > {seals.seen.through:d}"
    for values in evidence.rows("seal", found.log, _SEAL, where, "seq"):
        row = dict(zip(_SEAL, values, strict=True))
        entry = schema.from_row("seal", row)
        withholding.check(entry)
        if row["log"] != found.log or row["seal_index"] != seals.size:
            raise RecordError(f"seal {seals.size} is missing, or is another's")
        closing = row["reason"] if row["reason"] in CLOSING else None
        at = Instant(row["recorded_at"])
        seals.read.append(Seal(seq=row["seq"], leaf=schema.leaf(entry), recorded_at=at, closing=closing))


def _head(evidence: Evidence, found: Found, vkeys: list[str]) -> None:
    """Take the log's own checkpoint; one that is no note, or signed by nobody of this log, is its fault."""
    note = evidence.checkpoint(found.log)
    if note is None:
        found.fault = "it has no signed head"
        return
    try:
        head = parse_checkpoint(parse_note(note).text)
        signers = [Verifier.parse(vkey) for vkey in vkeys]
        held = verify_note(note, signers) if signers else ()
    except LogFormatError as error:
        found.fault = f"its head cannot be used: {error}"
        return
    if head.origin != origin(found.log):
        found.fault = f"its head is of {head.origin}"
    elif head.size > _SIZE_MAX:
        found.fault = "its head is of more seals than a log can have"
    elif signers and not held:
        found.fault = "its head is signed by none of its keys"
    else:
        found.head = head
        found.signature = _line(note, held[0]) if held else None


def _line(note: str, by: Verifier) -> str:
    """The signature line of a note by a key, without its newline."""
    parsed = parse_note(note)
    lines = note.rpartition("\n\n")[2][:-1].split("\n")
    by_key = {id(one): line for one, line in zip(parsed.signatures, lines, strict=True)}
    return next(by_key[id(signature)] for _, signature in lines_by(parsed, [by]))
