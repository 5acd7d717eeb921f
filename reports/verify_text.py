"""The answer of a verification for people: the result first, then why, then what each log has, then what it means."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from reports.render import Document, Facts, Lines, Paragraph, Section, Table

_HEADLINES = {
    "ok": "OK: everything that was checked holds, under keys and heads you brought.",
    "failed": "FAILED: the evidence contradicts itself, or what you brought.",
    "incomplete": "INCOMPLETE: nothing contradicts, but not everything can be known from what there is.",
}
_GROUPS = (("error", "What contradicts"), ("warning", "What cannot be known"), ("info", "For your information"))
_LEVELS = {
    "A0": "own signature only",
    "A1": "log collector",
    "A2": "timestamped",
    "A3": "pinned or witnessed",
}
_WIDTH = 100
LIMITS = (
    "That all crawling went through the proxy: what bypassed it cannot be seen from here.",
    "That the records were true when they were written: a changed proxy can leave out or invent before it seals.",
    "That a site really served the robots.txt on record: TLS leaves no proof of that for others.",
    "Exact times between two heads that somebody outside saw, and anything about records that no seal covers.",
    "That content was or was not used for training, or that anything was lawful.",
)
"""What no verification can show, whatever its result."""

_ORIGIN_KEY = "nobody without its key can have changed them; the operator could have written all of it anew."
_ORIGIN_UNKNOWN = (
    "nothing outside this copy vouches for it: whoever could write here could have written all of it anew, under"
    " another key."
)


def claims(answer: dict[str, Any]) -> list[str]:
    """What the result allows to say, and no more; nothing where it failed."""
    if answer["result"] == "failed":
        return ["Nothing: as long as there is a contradiction, no part of the evidence should be relied on unasked."]
    unvouched = {finding["where"].partition(" ")[0] for finding in answer["findings"] if finding["check"] == "H6"}
    made = [sentence for log in answer["logs"] for sentence in _claims_of(log, log["log"] in unvouched)]
    return made + _claims_on_time(answer)


def _claims_of(log: dict[str, Any], is_unvouched: bool) -> list[str]:
    """What may be said of one log; ``is_unvouched``: whose key its own is, nobody but the log says."""
    if not log["seals"]:
        return []
    name, made = log["log"], []
    made.append(
        f"{name}: {_many(log['records'], 'record')} (values or leaves) fit the {_many(log['seals'], 'seal')} over them."
    )
    levels = {reached["level"] for reached in log["levels"]}
    if not levels & {"A2", "A3"}:
        made.append(f"{name}: {_ORIGIN_UNKNOWN if is_unvouched or 'A0' not in levels else _ORIGIN_KEY}")
    best = {one["level"]: one for one in sorted(log["levels"], key=lambda one: one["last_seq"])}
    for reached in best.values():
        records = f"records {reached['first_seq']} to {reached['last_seq']}"
        if reached["level"] == "A3":
            made.append(
                f"{name}: {records} are the history vouched for by {reached['by']}: none was changed, added, left"
                " out or put in another order since."
            )
        elif reached["level"] == "A2":
            made.append(f"{name}: {records} existed when stamped by {reached['by']}.")
    if log["replayed"]:
        made.append(
            f"{name}: {log['replayed']:,} of {_many(log['decisions'], 'decision')} were made again from the stored"
            " robots.txt; each that came out otherwise is named above."
        )
    return made


def _claims_on_time(answer: dict[str, Any]) -> list[str]:
    coverage = answer["coverage"]
    if not coverage["minutes"]:
        return []
    covered = coverage["minutes"] - coverage["by_state"]["not covered"]
    said = (
        f"The logs speak for {covered:,} of {_many(coverage['minutes'], 'minute')} from {coverage['from']} to"
        f" {coverage['to']}; {_many(coverage['unclean_stops'], 'unclean stop')},"
        f" gaps of {coverage['gap_seconds']:,.0f} s in all."
    )
    return [said]


def document(answer: dict[str, Any], path: str) -> Document:
    """The whole answer."""
    sections = [Section(title="", blocks=(Paragraph(_HEADLINES[answer["result"]]), Paragraph(_points_open(answer))))]
    for severity, title in _GROUPS:
        found = [finding for finding in answer["findings"] if finding["severity"] == severity]
        if found:
            sections.append(Section(title=title, blocks=(Lines(tuple(finding_lines(found))),)))
    if answer["logs"]:
        sections.append(Section(title="The logs", blocks=(_logs(answer["logs"]),)))
    if "coverage" in answer and answer["coverage"]["minutes"]:
        sections.append(Section(title="Time", blocks=tuple(_time(answer["coverage"]))))
    if answer["not_checked"]:
        skipped = (f"{one['count']:,} {one['what']}: {one['why']}" for one in answer["not_checked"])
        sections.append(Section(title="Not checked", blocks=tuple(_points(skipped))))
    sections.append(Section(title="What this shows", blocks=tuple(_points(answer["claims"]))))
    limits = [one["text"] if isinstance(one, dict) else one for one in answer.get("disclaimers", LIMITS)]
    sections.append(Section(title="What this does not show", blocks=tuple(_points(limits))))
    return Document(title=f"Verification of {path}", sections=tuple(sections))


def _points_open(answer: dict[str, Any]) -> str:
    errors = sum(finding["severity"] == "error" for finding in answer["findings"])
    warnings = sum(finding["severity"] == "warning" for finding in answer["findings"])
    return f"{_many(errors, 'contradiction')}, {_many(warnings, 'open point')}.".capitalize()


def finding_lines(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Findings one below the other: check and place, then the sentence, indented; same places said once."""
    before = None
    for finding in found:
        head = f"{finding['check']:<3} {finding['where']}"
        if head != before:
            yield head
        before = head
        yield from textwrap.wrap(finding["message"], _WIDTH, initial_indent="    ", subsequent_indent="    ")


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}" if count else f"no {noun}s"


def _logs(logs: Iterable[dict[str, Any]]) -> Table:
    header = ("log", "records", "seals", "decisions", "replayed", "completions", "closed", "vouched for")
    return Table(
        header,
        tuple(
            (
                log["log"],
                log["records"],
                log["seals"],
                log["decisions"],
                log["replayed"],
                log["completions"],
                log["closed"],
                _vouched(log),
            )
            for log in logs
        ),
    )


def _vouched(log: dict[str, Any]) -> str:
    """The level reached by the most records, best first: ``pinned or witnessed to 74, own signature only to 90``."""
    best: dict[str, int] = {}
    for reached in log["levels"]:
        best[reached["level"]] = max(best.get(reached["level"], -1), reached["last_seq"])
    parts, so_far = [], -1
    for level in sorted(best, reverse=True):
        if best[level] > so_far:
            parts.append(f"{_LEVELS[level]} to {best[level]}")
            so_far = best[level]
    return "; ".join(parts) or "nobody"


def _time(coverage: dict[str, Any]) -> list[Facts | Table]:
    states = tuple((f"minutes {state}", count) for state, count in coverage["by_state"].items() if count)
    facts = (
        ("from", coverage["from"]),
        ("to", coverage["to"]),
        *states,
        ("unclean stops", coverage["unclean_stops"]),
        ("requests left unrecorded", coverage["left_unrecorded"]),
        ("records dropped", coverage["dropped"]),
    )
    blocks: list[Facts | Table] = [Facts(facts)]
    if coverage["gaps"]:
        header = ("node", "from", "to", "seconds", "why")
        blocks.append(Table(header, tuple(tuple(gap[name] for name in header) for gap in coverage["gaps"])))
    return blocks


def _points(sentences: Iterable[str]) -> list[Lines]:
    wrapped = (textwrap.wrap(text, _WIDTH, initial_indent="* ", subsequent_indent="  ") for text in sentences)
    return [Lines(tuple(line for lines in wrapped for line in lines))]
