"""What is open at the end of a window is carried into the next, and no further than to its end."""

from __future__ import annotations

from pathlib import Path

from reports import verify_decisions, verify_exchanges
from reports.evidence import open_evidence
from reports.findings import Findings, Tally
from tests import logs


def test_what_is_open_is_carried_over_and_what_ended_is_forgotten(root: Path) -> None:
    made = logs.LogBuilder(root, signing=True)
    made.start()
    open_seqs = [made.add(logs.decision("example.com", f"/{n}", logs.after(n))) for n in range(4)]
    made.publish()
    for seq in open_seqs[:3]:
        made.add(logs.completion(seq, logs.after(9)))
    made.close()
    with open_evidence(str(root)) as evidence:
        findings = Findings()
        subject = verify_decisions.subject_of(evidence, made.log, findings, Tally(made.log))
        exchanges = verify_exchanges.Exchanges(subject)
        carried = []
        for segment in evidence.segments(made.log):
            exchanges.check(verify_decisions.Window(evidence=evidence, segments=[segment], between=None, records=0))
            carried.append([seq for (seq,) in evidence.select("SELECT seq FROM verify_open ORDER BY seq")])
        exchanges.finish()
    assert carried == [open_seqs, open_seqs[3:]]
    assert [(one.check, one.where) for one in findings.listed()] == [("C1", f"{made.log} seq {open_seqs[3]}")]
