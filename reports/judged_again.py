"""The URLs fetched from one site judged again, by a robots.txt that is given or by the last one on record.

The command `judge --log` shows every URL; `report reevaluation` asks the same of a whole log and lists changes alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crawl_audit.records import RobotsOutcome, Verdict
from crawl_audit.robots import Judgement, Rules, compile_rules, evaluate
from reports import envelope, envelope_fields, envelope_text, limited, render
from reports.declarations import Declarations
from reports.fields import Field, Form, RecordType, Show, Source
from reports.levels import Level
from reports.log import Log
from reports.matching import Subject, parameters
from reports.period import Period
from reports.report import at_level

DISCLAIMERS = ("D-COVER", "D-ROBOTS")
RECORD = RecordType(
    name="judged_again",
    version="1.0",
    meaning="what another robots.txt says of each URL that was fetched from a site",
    fields=(
        *limited.FIELDS,
        Field(name="match_scope", form=Form.TEXT, meaning="what it stands for", source=Source.TOOL),
        Field(name="robots", form=Form.TEXT, meaning="which robots.txt: `given` or `last on record`"),
        Field(name="urls", form=Form.COUNT, meaning="URLs fetched"),
        Field(name="disallowed_now", form=Form.COUNT, meaning="of these, disallowed by it"),
        Field(name="newly_disallowed", form=Form.COUNT, meaning="of these, allowed when they were fetched"),
        Field(
            name="rows",
            form=Form.RECORDS,
            key="url",
            meaning="the URLs",
            public=Show.WITHHELD,
            regulator=Show.WITHHELD,
            reason="trade_secret",
            note="URLs; `crawl-audit report reevaluation` gives them to regulators as keyed hashes",
            fields=(
                Field(name="url", form=Form.TEXT, meaning="URL fetched"),
                Field(name="product_token", form=Form.TEXT, meaning="judged for"),
                Field(name="requests", form=Form.COUNT, meaning="how often it was fetched"),
                Field(name="first_at", form=Form.INSTANT, meaning="first"),
                Field(name="last_at", form=Form.INSTANT, meaning="last"),
                Field(name="then", form=Form.TEXT, meaning="verdict when fetched"),
                Field(name="now", form=Form.TEXT, meaning="verdict by the other robots.txt"),
                Field(name="basis", form=Form.TEXT, meaning="why that is so"),
                Field(name="rule", form=Form.TEXT, meaning="the rule that decides, as written"),
                Field(name="rule_line", form=Form.COUNT, meaning="its line"),
            ),
        ),
    ),
)
_COLUMNS = ("url", "requests", "last_at", "then", "now", "rule")

_Judge = Callable[[dict[str, Any]], Judgement]


def judged_again(log: Log, subject: Subject, period: Period, robots: bytes | None, tokens: list[str]) -> dict[str, Any]:
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
                "first_at": row["first_at"],
                "last_at": row["last_at"],
                "then": Verdict.DISALLOWED if row["disallowed_then"] else Verdict.ALLOWED,
                "now": judgement.verdict,
                "basis": judgement.basis,
                "rule": judgement.rule,
                "rule_line": judgement.rule_line,
            }
        )
    changed = [row for row in rows if row["now"] is Verdict.DISALLOWED and row["then"] is Verdict.ALLOWED]
    record = (RECORD.name, RECORD.version)
    answer = {
        **limited.limited(subject),
        "match_scope": subject.match_scope,
        "robots": "given" if robots is not None else "last on record",
        "urls": len(rows),
        "disallowed_now": sum(row["now"] is Verdict.DISALLOWED for row in rows),
        "newly_disallowed": len(changed),
        "rows": rows,
        **envelope.envelope(log, period, Declarations(), record, len(rows), *DISCLAIMERS),
    }
    return at_level(answer, (*envelope_fields.FIELDS, *RECORD.fields), Level.INTERNAL)


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
    title = f"Judged again: {answer['query_url'] or answer['query']}"
    return envelope_text.document(title, [render.Section(title="", blocks=blocks)], answer)


def table(answer: dict[str, Any]) -> render.Table:
    """Every URL, for CSV."""
    return render.table_of(answer["rows"])
