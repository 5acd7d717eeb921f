"""What another robots.txt would say of the URLs that were fetched: today's file, or the last one on record.

Not retroactive: what counts for a request is the copy in force when it was made (docs/robots.md).  The answer tells
an operator what to leave out from now on, and a site owner what a changed robots.txt would have covered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crawl_audit.records import RobotsOutcome, Verdict
from crawl_audit.robots import Judgement, Rules, compile_rules, evaluate
from reports import envelope, render
from reports.log import Log
from reports.matching import Subject, parameters
from reports.period import Period, iso

DISCLAIMERS = ("D-COVER", "D-ROBOTS")
_COLUMNS = ("url", "requests", "last_at", "then", "now", "rule")

_Judge = Callable[[dict[str, Any]], Judgement]


def reevaluation(log: Log, subject: Subject, period: Period, robots: bytes | None, tokens: list[str]) -> dict[str, Any]:
    """Judge every fetched URL of ``subject`` again, by ``robots`` or, where that is None, by the last copy on record.

    ``tokens`` replace the product tokens on record where any is given.
    """
    fetched = log.rows("fetched_urls", **parameters(log, subject, period))
    judge = _judge(log, robots, tuple(tokens))
    rows = []
    for row in fetched:
        judgement = judge(row)
        rows.append(
            {
                "url": row["url"],
                "product_token": row["product_token"],
                "requests": row["requests"],
                "first_at": iso(row["first_at"]),
                "last_at": iso(row["last_at"]),
                "then": Verdict.DISALLOWED if row["disallowed_then"] else Verdict.ALLOWED,
                "now": judgement.verdict,
                "basis": judgement.basis,
                "rule": judgement.rule,
                "rule_line": judgement.rule_line,
            }
        )
    changed = [row for row in rows if row["now"] is Verdict.DISALLOWED and row["then"] is Verdict.ALLOWED]
    return {
        "query": subject.text,
        "match_scope": subject.match_scope,
        "robots": "given" if robots is not None else "last on record",
        "urls": len(rows),
        "disallowed_now": sum(row["now"] is Verdict.DISALLOWED for row in rows),
        "newly_disallowed": len(changed),
        "rows": rows,
        **envelope.envelope(log, period, len(rows), *DISCLAIMERS),
    }


def _judge(log: Log, robots: bytes | None, tokens: tuple[str, ...]) -> _Judge:
    """A judge that reads and compiles each robots.txt once."""
    compiled: dict[tuple[object, ...], tuple[RobotsOutcome, Rules | None]] = {}

    def judge(row: dict[str, Any]) -> Judgement:
        wanted = tokens or tuple(row["product_token"].split(", "))
        scope = (row["scheme"], row["host"], row["port"])
        key = (None if robots is not None else scope, wanted)
        if key not in compiled:
            compiled[key] = _rules(log, robots, scope, wanted)
        outcome, rules = compiled[key]
        return evaluate(outcome, rules, row["target"])

    return judge


def _rules(
    log: Log, robots: bytes | None, scope: tuple[str, str, int], tokens: tuple[str, ...]
) -> tuple[RobotsOutcome, Rules | None]:
    if robots is not None:
        return RobotsOutcome.SUCCESSFUL, compile_rules(robots, tokens)
    scheme, host, port = scope
    rows = log.rows("latest_robots", scheme=scheme, host=host, port=port)
    if not rows:  # forwarded without a robots.txt on record: nothing says that it may be
        return RobotsOutcome.UNREACHABLE, None
    outcome = RobotsOutcome(rows[0]["outcome"])
    return outcome, compile_rules(
        bytes(rows[0]["body"] or b""), tokens
    ) if outcome is RobotsOutcome.SUCCESSFUL else None


def document(answer: dict[str, Any]) -> render.Document:
    """The answer for people: the numbers, and the URLs that would not be fetched."""
    facts = (
        ("robots.txt", answer["robots"]),
        ("URLs fetched", answer["urls"]),
        ("Disallowed by it", answer["disallowed_now"]),
        ("Of these allowed then", answer["newly_disallowed"]),
    )
    blocks: tuple[Any, ...] = (render.Facts(facts),)
    disallowed = [row for row in answer["rows"] if row["now"] is Verdict.DISALLOWED]
    if disallowed:
        blocks = (*blocks, render.table_of(disallowed, _COLUMNS))
    title = f"Judged again: {answer['query']}"
    return envelope.document(title, [render.Section(title="", blocks=blocks)], answer)


def table(answer: dict[str, Any]) -> render.Table:
    """Every URL, for CSV."""
    return render.table_of(answer["rows"])
