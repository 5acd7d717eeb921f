"""What a proof says of its decision: the checks B, C2, D and S4 on the few records that it has.

The same rules as for a whole log (verify_snapshots.py, verify_replay.py), on entries in place of rows.
"""

from __future__ import annotations

import hashlib
from typing import Any

from crawl_audit import robots
from crawl_audit.decision import action_for
from crawl_audit.proof import Proof, ProvedEntry
from crawl_audit.records import Action, Basis, Mode, RobotsOutcome, Verdict
from reports.declared import Declared
from reports.findings import Findings, Severity, Tally
from reports.in_force import DAY_US, allowances
from reports.recorded_settings import settings_object
from reports.replaying import Replayer, Result, made_of


class ProvedDecision:
    """The decision of one parsed proof."""

    def __init__(self, proof: Proof, findings: Findings, tally: Tally) -> None:
        self._proof = proof
        self._findings = findings
        self._tally = tally

    def _error(self, check: str, place: str, message: str) -> None:
        self._findings.add(check, Severity.ERROR, f"{self._proof.log} {place}", message)

    def _warn(self, check: str, place: str, message: str) -> None:
        self._findings.add(check, Severity.WARNING, f"{self._proof.log} {place}", message)

    def check(self) -> bool:
        decision, run = self._proof.of("decision"), self._proof.of("run")
        if decision is None or run is None:
            self._error("F3", "entries", "A proof of a decision needs the decision and the start of its log.")
            return False
        made, settings = decision.entry, settings_object(run.entry["settings"])
        where = f"seq {decision.seq}"
        self._tally.decisions = 1
        if hashlib.sha256(run.entry["settings"].encode()).hexdigest() != run.entry["settings_sha256"]:
            self._error("S4", f"seq {run.seq}", "The settings do not have the SHA-256 that the record says.")
        if run.entry["event"] != "start":
            self._error("S4", f"seq {run.seq}", "This is not the record of a start.")
        self._check_action(where, made, settings)
        self._check_completion(decision)
        self._check_snapshot(decision, settings)
        self._check_body()
        same = self._replay(where, made, settings)
        self._tally.skip("open question", 1, "a proof of one decision does not show that there are no other records")
        self._tally.skip("open question", 1, "whether a later robots.txt was in force takes the whole log")
        return same

    def _check_action(self, where: str, made: dict[str, Any], settings: dict[str, Any]) -> None:
        due = action_for(Verdict(made["verdict"]), Basis(made["basis"]), Mode(made["mode"]))
        if made["action"] != due:
            said = f"In mode {made['mode']} what is {made['verdict']} ({made['basis']}) is to be {due}"
            self._error("D2", where, f"{said}; it was {made['action']}.")
        if settings.get("mode", made["mode"]) != made["mode"]:
            self._error("D2", where, f"The decision is in mode {made['mode']}, the settings say {settings['mode']}.")

    def _check_completion(self, decision: ProvedEntry) -> None:
        completion = self._proof.of("completion")
        if completion is None:
            if decision.entry["action"] == Action.FORWARDED:
                self._tally.skip("completion", 1, "the proof has none; it cannot show that there is none")
            return
        self._tally.completions = 1
        where = f"seq {completion.seq}"
        if completion.entry["decision_seq"] != decision.seq or completion.seq <= decision.seq:
            self._error("C2", where, "The completion is of another decision.")
        elif decision.entry["action"] != Action.FORWARDED:
            self._error("C2", where, "The completion is of a request that was denied.")

    def _check_snapshot(self, decision: ProvedEntry, settings: dict[str, Any]) -> None:
        made, snapshot = decision.entry, self._proof.of("snapshot")
        where, named = f"seq {decision.seq}", made["snapshot_seq"]
        if snapshot is None:
            if named is None and made["basis"] not in (Basis.ROBOTS_TXT, Basis.ERROR):
                self._error("B2", where, f"The decision ({made['basis']}) names no snapshot of robots.txt.")
            elif named is not None:
                self._warn("B2", where, f"The snapshot {named} that the decision rests on is not in the proof.")
            return
        shot = snapshot.entry
        if named != snapshot.seq or snapshot.seq >= decision.seq:
            self._error("B2", where, f"The decision rests on snapshot {named}, not on {snapshot.seq}.")
        if any(shot[name] != made[name] for name in ("scheme", "host", "port")):
            self._error("B2", where, "The snapshot is of another scheme, host or port.")
        if shot["robots_sha256"] != made["robots_sha256"]:
            self._error("B2", where, "The snapshot names another robots.txt than the decision.")
        if shot["outcome"] == RobotsOutcome.SUCCESSFUL and shot["robots_sha256"] is None:
            self._error("B3", f"seq {snapshot.seq}", "The fetch was successful, but the snapshot names no robots.txt.")
        granted = allowances(settings)
        lag = granted.pace_lag_us if made["basis"] == Basis.CRAWL_DELAY else granted.lag_us
        taken = shot["recorded_at"] if shot["fetched_at"] is None else shot["fetched_at"]
        until = min(shot["valid_until"], taken + DAY_US)
        if granted.last_good_us and shot["outcome"] == RobotsOutcome.SUCCESSFUL:
            until = max(until, taken + granted.last_good_us)
        if made["basis"] != Basis.ROBOTS_TXT and made["recorded_at"] > until + lag:
            self._error("B5", where, "The snapshot was no longer valid when the decision was made.")

    def _check_body(self) -> None:
        body, octets, snapshot = self._proof.of("robots_body"), self._proof.robots_txt, self._proof.of("snapshot")
        if (body is None) != (octets is None):
            self._error("B3", "robots_txt", "The octets of the robots.txt and their record go together.")
            return
        if body is None or octets is None:
            if snapshot is not None and snapshot.entry["robots_sha256"] is not None:
                self._warn("B3", "robots_txt", "The octets of the robots.txt are not in the proof.")
            return
        if hashlib.sha256(octets).hexdigest() != body.entry["robots_sha256"] or len(octets) != body.entry["body_bytes"]:
            self._error("B1", "robots_txt", "The octets do not have the SHA-256 and length of their record.")
        if snapshot is None or body.entry["robots_sha256"] != snapshot.entry["robots_sha256"]:
            self._error("B2", f"seq {body.seq}", "The robots.txt is not the one that the snapshot names.")

    def _replay(self, where: str, entry: dict[str, Any], settings: dict[str, Any]) -> bool:
        snapshot = self._proof.of("snapshot")
        made = made_of(entry)
        outcome = None if snapshot is None else snapshot.entry["outcome"]
        found = Replayer().answer(made, outcome, lambda: self._proof.robots_txt, Declared.by(settings))
        if found.result in (Result.NOT_APPLICABLE, Result.NOT_POSSIBLE):
            self._tally.skip("decision made again", 1, found.reason)
            if found.result is Result.NOT_POSSIBLE:
                self._warn("D3", where, f"The decision cannot be made again. {found.reason}")
            return False
        self._tally.replayed = 1
        if found.result is Result.DIFFERS:
            if made.parser == robots.PARSER:
                self._error("D1", where, found.reason)
            else:
                versions = f"judged by {made.parser}, now by {robots.PARSER}"
                self._warn("D3", where, f"Another version answers otherwise: {versions}.")
            return False
        if found.rests_on is not None:
            self._tally.skip(found.rests_on, 1, "it is the log's word; only the rule was decided again")
        return True
