"""One decision, from request to outcome, decided again from the stored robots.txt before the reader's eyes."""

from __future__ import annotations

from typing import Any

from crawl_audit import robots_lines
from crawl_audit.errors import LogFormatError
from crawl_audit.proof_text import to_text
from crawl_audit.seal import Checkpoint, parse_checkpoint, parse_note
from crawl_audit.text import storable
from reports import disclaimers, exemptions, matching, render
from reports import proof as making
from reports.evidence import open_evidence
from reports.log import Log, Row
from reports.period import Period, UsageError, iso, now
from reports.recorded_settings import settings_of
from reports.replaying import replay

_SHOWN_LINES_MAX = 60
_CONTEXT_LINES = 12


def explain(log: Log, wanted: str) -> dict[str, Any] | None:
    """The decision of exchange id or URL ``wanted``, the latest where there are several; None where there is none."""
    found = _find(log, wanted)
    if found is None:
        return None
    decision, others = found
    snapshot = _snapshot(log, decision)
    body = None if snapshot is None or snapshot["body"] is None else bytes(snapshot["body"])
    seals = log.rows("seal_of", log=decision["log"], seq=decision["seq"])
    return {
        "generated_at": iso(now()),
        "query": wanted,
        "other_decisions": others,
        "decision": {name: _plain(value) for name, value in decision.items()},
        "snapshot": None if snapshot is None else {n: _plain(v) for n, v in snapshot.items() if n != "body"},
        "robots_txt": None if body is None else _lines(body, decision),
        "exemption": _exemption(log, decision),
        "entered_late": _entered_late(log, decision),
        "replay": replay(decision, snapshot, body, settings_of(log, decision["log"])),
        "seal": {name: _plain(value) for name, value in seals[0].items()} if seals else None,
        "proof": _proof(log, decision, seals[0]["seal_index"] if seals else None),
        "disclaimers": disclaimers.chosen("D-ROBOTS", "D-COLLECT"),
    }


def _find(log: Log, wanted: str) -> tuple[Row, int] | None:
    """(decision with its completion, how many others match)."""
    if "/" not in wanted:
        rows = log.rows("decision_by_id", exchange_id=wanted.strip())
        return (rows[0], len(rows) - 1) if rows else None
    subject = matching.parse_subject(wanted)
    if subject.target is None:
        raise UsageError(f"{wanted!r} has no path: give the full URL, for example {subject.normalised}/ .")
    scope = matching.parameters(log, subject, Period())
    rows = log.rows("decision_by_url", **{name: scope[name] for name in ("host", "port", "scheme", "targets")})
    return (rows[0], rows[0].pop("found") - 1) if rows else None


def _snapshot(log: Log, decision: Row) -> Row | None:
    if decision["snapshot_seq"] is None:
        return None
    rows = log.rows("snapshot_of", log=decision["log"], seq=decision["snapshot_seq"])
    return rows[0] if rows else None


def _exemption(log: Log, decision: Row) -> dict[str, Any] | None:
    """What the settings of the log declare about the exemption that covers the request."""
    if decision["exemption"] is None:
        return None
    said = exemptions.declared(log).get(decision["log"], {}).get(decision["exemption"])
    return {"exemption": decision["exemption"], "declared": said is not None, **(said or {})}


def _entered_late(log: Log, decision: Row) -> dict[str, Any] | None:
    """The gap that a forwarded decision fell into: its request may have left before the record was durable."""
    if decision["action"] != "forwarded":
        return None
    gaps = log.rows("late_entry", log=decision["log"], seq=decision["seq"], at=decision["recorded_at"])
    return {name: _plain(value) for name, value in gaps[0].items()} if gaps else None


def _proof(log: Log, decision: Row, seal_index: int | None) -> dict[str, Any]:
    """How the record is tied to what others hold: the signed head over it, and who the log says has seen one."""
    head = _head(log, decision["log"])
    covered = head is not None and seal_index is not None and seal_index < head.size
    seen = [] if seal_index is None else log.rows("anchors_of", log=decision["log"], seal_index=seal_index)
    return {
        "checkpoint": None if head is None else {"size": head.size, "root": head.root.hex(), "covers": covered},
        "anchors": [{name: _plain(value) for name, value in row.items()} for row in seen],
    }


def _head(log: Log, name: str) -> Checkpoint | None:
    """The latest head of a log as its checkpoint states it; nothing of it is verified here."""
    for path in log.files.checkpoints:
        if path.name == f"{name}.checkpoint":
            try:
                return parse_checkpoint(parse_note(path.read_text(encoding="utf-8")).text)
            except (LogFormatError, OSError, UnicodeDecodeError):
                return None
    return None


def _plain(value: Any) -> Any:
    return iso(value) if hasattr(value, "isoformat") else value


def _lines(body: bytes, decision: Row) -> list[dict[str, Any]]:
    """Every line of the robots.txt: number, text, whether of a governing group, whether it decided."""
    governing = _governing_lines(body, set(decision["group_tokens"] or ()))
    return [
        {
            "line": number,
            "text": storable(line),
            "governing": number in governing,
            "deciding": number == decision["rule_line"],
        }
        for number, line in enumerate(body.splitlines(), 1)
    ]


def _governing_lines(body: bytes, tokens: set[str]) -> set[int]:
    """Lines of the groups that one of ``tokens`` (user-agent lines as the decision stores them) opens."""
    found: set[int] = set()
    pending: list[robots_lines.Record] = []  # user-agent lines not yet followed by a rule
    governs = False
    for record in robots_lines.records(body):
        if record.field is robots_lines.Field.USER_AGENT:
            if not pending:
                governs = False
            pending.append(record)
            governs = governs or storable(record.value) in tokens
        elif record.field is not robots_lines.Field.OTHER:
            if governs:
                found.update({record.line, *(agent.line for agent in pending)})
            pending = []
    if governs:  # a group at the end that has no rule
        found.update(agent.line for agent in pending)
    return found


def document(answer: dict[str, Any]) -> render.Document:
    """The decision for people."""
    d, replayed = answer["decision"], answer["replay"]
    asked = (
        ("Exchange", d["exchange_id"]),
        *((("Trace", d["trace_id"]),) if d["trace_id"] else ()),
        ("Request", f"{d['method']} {d['url']}"),
        ("When", d["recorded_at"]),
        ("Crawler", f"{d['crawler']} (product token {d['product_token']})"),
        ("User-Agent", d["user_agent"] or "not sent"),
        ("Record", f"log {d['log']}, seq {d['seq']}"),
        *_late_facts(answer["entered_late"]),
        ("Other decisions on it", answer["other_decisions"]),
    )
    decided = (
        ("Verdict", f"{d['verdict']} ({d['basis']})"),
        ("Rule", "none" if d["rule"] is None else f"line {d['rule_line']}: {d['rule']}"),
        ("Groups", ", ".join(d["group_tokens"] or ()) or "none"),
        ("Protego alone", f"{d['protego_verdict'] or 'not asked'}{' (differs)' if d['divergent'] else ''}"),
        ("Mode and action", f"{d['mode']}: {d['action']}"),
        *((("Detail", d["detail"]),) if d["detail"] else ()),
        *_exemption_facts(answer["exemption"]),
        *_pace_facts(d),
    )
    sections = [
        render.Section(title="Request", blocks=(render.Facts(asked),)),
        render.Section(title="Decision", blocks=(render.Facts(decided),)),
        render.Section(title="robots.txt in force", blocks=_robots_blocks(answer)),
        render.Section(title="Replay", blocks=(render.Paragraph(f"{replayed['result']}: {replayed['reason']}"),)),
        render.Section(title="Outcome", blocks=(render.Facts(_outcome(answer)),)),
        render.Section(title="Proof", blocks=(render.Facts(_proof_facts(answer)),)),
        render.Section(
            title="What this does not say", blocks=tuple(render.Paragraph(x["text"]) for x in answer["disclaimers"])
        ),
    ]
    return render.Document(title=f"{d['method']} {d['url']}: {d['verdict']}, {d['action']}", sections=tuple(sections))


def _exemption_facts(said: dict[str, Any] | None) -> tuple[tuple[str, Any], ...]:
    if said is None:
        return ()
    if not said["declared"]:
        return (("Exemption", f"{said['exemption']}: the settings of this log do not declare it"),)
    grounds = f"{said['reason']}, {said['reference']}, approved by {said['approver']}, until {said['until']}"
    return (("Exemption", f"{said['exemption']}: {grounds}"),)


def _late_facts(gap: dict[str, Any] | None) -> tuple[tuple[str, Any], ...]:
    if gap is None:
        return ()
    left = "left" if gap["by_number"] else "may have left"
    said = f"the request {left} before this record was durable ({gap['cause']}; gap record {gap['seq']}, fail_open)"
    return (("Entered late", said),)


def _pace_facts(d: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    asked = [ms for ms in (d["crawl_delay_ms"], d["request_interval_ms"]) if ms]
    if not asked:
        return ()
    since = "the first here" if d["since_previous_ms"] is None else f"{d['since_previous_ms']} ms after the previous"
    held = f", held for {d['held_ms']} ms" if d["held_ms"] else ""
    return (("Pace", f"{max(asked)} ms between requests asked; {since}{held}"),)


def _outcome(answer: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    d = answer["decision"]
    if d["action"] == "denied":
        return (("Outcome", "denied: the request did not leave"),)
    if d["outcome"] is None:
        return (("Outcome", "no completion in the segments: not known how it ended"),)
    return (
        ("Outcome", d["outcome"]),
        ("Status", d["status"]),
        ("Bytes received", d["response_bytes"]),
        ("Took", f"{d['duration_ms']} ms"),
        ("Server", d["server_ip"]),
        *((("Error", d["error"]),) if d["error"] else ()),
    )


def _proof_facts(answer: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    seal, head, anchors = answer["seal"], answer["proof"]["checkpoint"], answer["proof"]["anchors"]
    if seal is None:
        return (("Sealed", "not yet"),)
    signed = "none beside the log"
    if head is not None:
        says = "" if head["covers"] else ", which does not cover this seal"
        signed = f"{head['size']} seals, root {head['root']}{says}"
    seen = [f"{one['method']} by {one['authority']}, {one['seen_at']}" for one in anchors]
    return (
        ("Sealed", f"seal {seal['seal_index']}, {seal['recorded_at']}, root {seal['root']}"),
        ("Signed head", signed),
        ("Seen outside", "; ".join(seen) or "by nobody that the log knows of"),
        ("To be checked", "with --proof FILE, by `crawl-audit verify FILE` alone"),
    )


def _robots_blocks(answer: dict[str, Any]) -> tuple[render.Block, ...]:
    s, lines = answer["snapshot"], answer["robots_txt"]
    if s is None:
        return (render.Paragraph("The decision rests on no robots.txt."),)
    facts = (
        ("Asked for", s["final_url"]),
        ("When", f"{s['recorded_at']} ({_source(s)}), holds until {s['valid_until']}"),
        ("Answer", f"{s['outcome']}, status {s['status'] if s['status'] is not None else 'none'}"),
        ("SHA-256", s["robots_sha256"] or "no body kept"),
    )
    if not lines:
        return (render.Facts(facts),)
    marked = next((one["line"] for one in lines if one["deciding"]), None)
    kept = _excerpt(lines)
    bar = [(one["line"], f"{'│' if one['governing'] else ' '} {one['text']}") for one in kept]
    note = "→ the line that decided   │ the group(s) that govern this crawler"
    cut = f"; {len(lines) - len(kept)} of {len(lines)} lines left out" if len(kept) < len(lines) else ""
    return (render.Facts(facts), render.Paragraph(note + cut), render.numbered(bar, marked))


def _source(s: dict[str, Any]) -> str:
    if s["origin_log"] is None:
        return str(s["source"])
    return f"{s['source']}, fetched by {s['origin_log']} at {s['fetched_at']}"


def _excerpt(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All lines of a short file; of a long one the deciding line, those around it, and the governing ones near."""
    if len(lines) <= _SHOWN_LINES_MAX:
        return lines
    centre = next((one["line"] for one in lines if one["deciding"]), None)
    if centre is None:
        centre = next((one["line"] for one in lines if one["governing"]), 1)
    near = range(centre - _CONTEXT_LINES, centre + _CONTEXT_LINES + 1)
    governing = [one["line"] for one in lines if one["governing"]][: _SHOWN_LINES_MAX - len(near)]
    chosen = {*near, *governing}
    return [one for one in lines if one["line"] in chosen]


def proof_text(path: str, answer: dict[str, Any], withheld: str) -> str:
    """The proof of the decision in ``answer``, from the log directory ``path``; ``withheld``: fields, with commas."""
    names = [name.strip() for name in withheld.split(",") if name.strip()]
    decision = answer["decision"]
    with open_evidence(path) as evidence:
        return to_text(making.make(evidence, decision["log"], decision["seq"], names))


def exit_code(answer: dict[str, Any] | None) -> int:
    """0: found and the replay holds; 1: nothing found, or the replay differs; 3: it could not be replayed."""
    if answer is None or answer["replay"]["result"] == "differs":
        return 1
    return 3 if answer["replay"]["result"] == "not_possible" else 0
