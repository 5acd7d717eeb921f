"""The checks C1, C2 and G2: every forwarded request came to one recorded end, and gaps say what the records say."""

from __future__ import annotations

from reports.findings import Severity
from reports.verify_decisions import Subject, Window

_CLOSED = ("shutdown", "recovered")
_SLACK_US = 1_000_000
_LATE = """
SELECT count(*) FILTER (WHERE action = 'forwarded'), min(epoch_us(recorded_at)), max(epoch_us(recorded_at))
FROM {decisions} WHERE seq BETWEEN $1 AND $2
"""


class Exchanges:
    """Follows the forwarded requests of one log through its windows, in order."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._subject.run("CREATE OR REPLACE TABLE verify_open (seq BIGINT)")

    def check(self, window: Window) -> None:
        """C2 for the completions of one window; what is open after it is carried over."""
        decisions, completions = window.relation("decision"), window.relation("completion")
        self._subject.run(
            "CREATE OR REPLACE TABLE verify_ended AS"  # noqa: S608 - our own names
            f" SELECT decision_seq, min(seq) AS seq, count(*) AS times FROM {completions} GROUP BY decision_seq"
        )
        self._subject.run(
            f"INSERT INTO verify_open SELECT seq FROM {decisions} WHERE action = 'forwarded'"  # noqa: S608 - our own names
        )
        for seq, decision_seq, times, known in self._subject.evidence.select(
            "SELECT e.seq, e.decision_seq, e.times, o.seq IS NOT NULL FROM verify_ended AS e"
            " LEFT JOIN verify_open AS o ON o.seq = e.decision_seq"
            " WHERE o.seq IS NULL OR e.times > 1 OR e.seq < e.decision_seq ORDER BY e.seq"
        ):
            self._odd(seq, decision_seq, times, known)
        self._subject.run(
            "CREATE OR REPLACE TABLE verify_open AS SELECT seq FROM verify_open ANTI JOIN verify_ended"
            " ON verify_ended.decision_seq = verify_open.seq"
        )

    def _odd(self, seq: int, decision_seq: int, times: int, known: bool) -> None:
        if times > 1:
            self._subject.error("C2", seq, f"The decision {decision_seq} has {times} completions.")
        elif known:
            self._subject.error("C2", seq, f"The completion comes before its decision {decision_seq}.")
        else:
            self._unfounded(seq, decision_seq)

    def _unfounded(self, seq: int, decision_seq: int) -> None:
        """A completion of nothing that is open: say of what."""
        found = self._subject.evidence.rows("decision", self._subject.log, ("action",), f"seq = {decision_seq:d}")
        row = next(found, None)
        if row is None and self._subject.partial:
            why = f"The decision {decision_seq} is not here; rows of this log are withheld or pruned."
            self._subject.add("C2", Severity.WARNING, seq, why)
        elif row is None:
            self._subject.error("C2", seq, f"The completion is of {decision_seq}, which is no decision of this log.")
        elif row[0] != "forwarded":
            self._subject.error("C2", seq, f"The completion is of decision {decision_seq}, which was denied.")
        elif decision_seq > seq:
            self._subject.error("C2", seq, f"The completion comes before its decision {decision_seq}.")
        else:
            self._subject.error("C2", seq, f"The decision {decision_seq} has more than one completion.")

    def finish(self) -> None:
        """C1: what is still open."""
        subject = self._subject
        (row,) = subject.evidence.select("SELECT count(*), min(seq) FROM verify_open")
        count, first = int(row[0]), row[1]
        if not count:
            return
        last = next(subject.evidence.rows("seal", subject.log, ("reason",), order="seq DESC"), None)
        if last is None or last[0] not in _CLOSED:
            why = f"{count} forwarded requests have no completion yet, and the log has no closing seal."
            subject.add("C1", Severity.WARNING, first, why)
        elif subject.partial:
            why = f"{count} forwarded requests have no completion here; rows of this log are withheld or pruned."
            subject.add("C1", Severity.WARNING, first, why)
        else:
            for (seq,) in subject.evidence.select("SELECT seq FROM verify_open ORDER BY seq"):
                subject.error("C1", seq, "The request was forwarded, the log was closed, and it has no completion.")


def check_gaps(subject: Subject) -> None:
    """G2: a gap's numbers agree with each other and with the records that were entered late."""
    names = ("seq", "recorded_at", "first_at", "last_at", "requests", "kept", "first_seq", "last_seq")
    for row in list(subject.evidence.rows("gap", subject.log, names, order="seq")):
        seq, recorded_at, first_at, last_at, requests, kept, first_seq, last_seq = row
        if first_at > last_at:
            subject.error("G2", seq, "The gap ends before it begins.")
        if not 0 <= kept <= requests:
            subject.error("G2", seq, f"The gap says that {kept} of {requests} requests were kept.")
        elif requests < 1 or last_at > recorded_at + _SLACK_US:
            subject.error("G2", seq, "The gap is of no request, or ends after it was recorded: it excuses nothing.")
        if first_seq is None or last_seq is None:
            if first_seq is not last_seq:
                subject.error("G2", seq, "The gap says only one end of what was entered late.")
            continue  # nothing was kept, or what was became durable by itself, in its own place
        _check_late(subject, seq, (first_at, last_at), kept, (first_seq, last_seq))


def _check_late(subject: Subject, seq: int, when: tuple[int, int], kept: int, late: tuple[int, int]) -> None:
    first, last = late
    if first > last or first <= seq:
        subject.error("G2", seq, f"The gap says that the records {first} to {last} were entered late.")
        return
    relation = subject.evidence.relation("decision", subject.log)
    (row,) = subject.evidence.select(_LATE.format(decisions=relation), [first, last])
    count, earliest, latest = row
    if count != kept and not subject.partial:
        subject.error(
            "G2", seq, f"The gap says that {kept} requests were kept, the records {first} to {last} have {count}."
        )
    if count and (earliest < when[0] - _SLACK_US or latest > when[1] + _SLACK_US):
        subject.error("G2", seq, f"Of the records {first} to {last} some are dated outside the gap.")
