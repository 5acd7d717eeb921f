"""Japan's annual comply-or-explain statement under the Principle Code, item by item, with what the log shows of each.

The status of an item is the operator's and is never made better: where nothing in the log bears on it, it is marked as
an assertion; where the log shows something a reader has to weigh against it, that is said beside it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reports import japan_changes, japan_facts, report
from reports.declarations import Japan, JapanItem
from reports.japan_body import body, rows
from reports.japan_items import Item, built_in, find, items, principle_titles
from reports.japan_record import RECORD, TO_WEIGH
from reports.kinds import activity, coverage_report, opt_out
from reports.levels import Level
from reports.report import Kind, Question

_ATTACHED = (activity.KIND, opt_out.KIND, coverage_report.KIND)
"""Records of the same log, period and operator file that a statement points at."""


def make(question: Question) -> dict[str, Any]:
    """The record at the internal level."""
    said = question.declared.japan
    listed, titles = items(said), principle_titles(said)
    form = [_form_field(name, value, listed) for name, value in said.form.items()]
    shown = japan_facts.shown(question)
    attached = [_attached(kind, question) for kind in _ATTACHED]
    made = {
        **_about(said),
        "principles": [{"principle": name, "title": title} for name, title in titles.items()],
        "items": [_item(item, shown, attached) for item in listed],
        **shown,
        "evidence": attached,
        "form": form,
    }
    return {**made, **japan_changes.compared(question.previous, made)}


def _about(said: Japan) -> dict[str, Any]:
    stated = said.statement_date
    return {
        "code": {
            "title": said.code_title or built_in()["code_title"],
            "version": str(said.code_version or built_in()["code_version"]),
            "text_sha256": said.code_text_sha256,
        },
        **{name: getattr(said, name) for name in ("acceptance", "signatory", "role", "services", "models")},
        "accepted_at": _day(said.accepted_at),
        "statement_date": _day(stated),
        "next_due": None if stated is None else str(japan_changes.due_after(stated)),
        "notification": {
            "form_version": str(said.form_version or built_in()["form_version"]),
            "filed_at": _day(said.filed_at),
            "receipt": said.receipt,
            "registry_url": said.registry_url,
        },
    }


def _day(value: Any) -> str | None:
    return None if value is None else str(value)


def _attached(kind: Kind, question: Question) -> dict[str, Any]:
    internal = report.record(kind, replace(question, subject=None, as_of=None, previous=None))
    public = report.at_level(internal, report.fields_of(kind), Level.PUBLIC)
    return {
        "record_type": kind.record.name,
        "kind": kind.name,
        "public_sha256": public["content_sha256"],
        "internal_sha256": public["tied"]["internal"],
    }


def _item(item: Item, shown: dict[str, Any], attached: list[dict[str, Any]]) -> dict[str, Any]:
    said = item.said or JapanItem(principle=item.principle, key=item.key)  # type: ignore[arg-type]
    by_kind = {one["kind"]: one["record_type"] for one in attached}
    shows = [] if item.outside_tool else [_path(name) for name in item.log if _has(name, shown)]
    asked = said.status in ("partial", "explain")
    return {
        "item": item.id,
        "principle": item.principle,
        "key": item.key,
        "title": item.title,
        "basis_mark": item.basis,
        "basis_by": item.basis_by,
        "outside_tool": item.outside_tool,
        "status": said.status,
        "support": None if said.status is None else "log and operator" if shows else "operator assertion",
        "text": said.text,
        "reason_code": said.reason_code,
        "reason": said.reason or (None if asked else {}),
        "shows": shows,
        "declares": [_path(name) for name in item.declared],
        "to_weigh": _to_weigh(item, shown) if shows else [],
        "evidence": [by_kind[name] for name in item.evidence if name in by_kind and not item.outside_tool],
        "references": [] if said.evidence is None else [name for name in said.evidence if name not in by_kind],
    }


def _path(name: str) -> str:
    return name if name in ("signals", "log_span", "retention") else f"crawlers[].{name}"


def _has(name: str, shown: dict[str, Any]) -> bool:
    """Whether the log has anything under ``name``: an item nobody's request bears on rests on words alone."""
    if name == "log_span":
        return shown["log_span"]["first_at"] is not None
    if name == "signals":
        return bool(shown["signals"])
    return any(crawler["requests"] and crawler[name] not in (None, [], {}) for crawler in shown["crawlers"])


def _to_weigh(item: Item, shown: dict[str, Any]) -> list[str]:
    """The counts above zero that a reader has to weigh against the status; they judge nothing."""
    return [name for name in TO_WEIGH if name in item.log and any(crawler[name] for crawler in shown["crawlers"])]


def _form_field(name: str, value: Any, listed: list[Item]) -> dict[str, Any]:
    if isinstance(value, str) and value.startswith("item:"):
        return {"field": name, "value": None, "item": find(value.removeprefix("item:"), listed).id}
    said = ("yes" if value else "no") if isinstance(value, bool) else str(value)
    return {"field": name, "value": said, "item": None}


KIND = Kind(
    name="japan",
    title="Statement under the Principle Code",
    record=RECORD,
    counted="items",
    disclaimers=("D-COLLECT", "D-COVER", "D-ROBOTS", "D-DECL", "D-BARRIER", "D-NOTCERT", "D-SIM"),
    make=make,
    body=body,
    table=rows,
    takes=frozenset({"previous"}),
    help="""Japan's annual comply-or-explain statement: item by item what the operator states and what the log shows.

    \b
    Example:
      crawl-audit report japan ./audit-log --operator operator.toml --level public --lang ja --format html -o jp.html
    """,
)
