"""A history of robots.txt as people read it: a time line, a table of versions, and what changed in words and lines."""

from __future__ import annotations

from typing import Any

from reports.facts import table
from reports.kinds.robots_history_record import RECORD, VERSION
from reports.limited import sentence
from reports.render import Block, Chart, ChartKind, Facts, Figures, Lines, Paragraph, Section, Table
from reports.words import Words

_DRAWN_MAX = 12
_AUTHORITIES_SHOWN = 20
_VERSIONS_SHOWN = 30
_SUMMARY = ("authorities_fetched", "authorities_changed", "fetches", "authorities_not_listed")
_COLUMNS = (
    "from",
    "last_fetched_at",
    "to",
    "in_force_until",
    "fetches",
    "status",
    "lines_added",
    "lines_removed",
    "allowed",
    "disallowed",
    "violations",
)


def body(shown: dict[str, Any], words: Words) -> list[Section]:
    """The sections of the record as far as its level shows it."""
    fields = {field.name: field for field in RECORD.fields}
    about = sentence(shown, words) or words("Of every scheme, host and port with more than one robots.txt on record.")
    figures = Figures(
        (
            (words("Authorities"), shown["authorities_fetched"], words("with a robots.txt on record")),
            (words("Changed"), shown["authorities_changed"], words("of these, with more than one robots.txt")),
            (words("Fetches"), shown["fetches"], words("copies and failed fetches")),
        )
    )
    blocks: list[Block] = [Paragraph(about), figures]
    if shown["fetches"] == 0:
        blocks.append(Paragraph(words("No robots.txt of it was fetched in covered traffic.")))
    else:
        blocks.append(
            Paragraph(
                words(
                    "Each row is one answer, from its first fetch to the next different one. Between two fetches the"
                    " state of the site is not known. “In force until” is when the last decision could rest on it."
                )
            )
        )
    if shown["authorities_not_listed"]:
        blocks.append(Facts(((words(fields["authorities_not_listed"].shown_name), shown["authorities_not_listed"]),)))
        blocks.append(Paragraph(words("--site shows the history of one site in full.")))
    listed = shown.get("authorities", [])
    made = [Section(title="", blocks=(*blocks, *_chart(listed, words)))]
    made += [_authority(one, words) for one in listed[:_AUTHORITIES_SHOWN]]
    if len(listed) > _AUTHORITIES_SHOWN:
        more = words(
            "Further authorities: {count}; `--format json` and `csv` hold them.", count=len(listed) - _AUTHORITIES_SHOWN
        )
        made.append(Section(title="", blocks=(Paragraph(more),)))
    return made


def _chart(listed: list[dict[str, Any]], words: Words) -> tuple[Chart, ...]:
    """What each robots.txt said of the path `/`, over time."""
    states = {
        "allowed": words("allowed"),
        "disallowed": words("disallowed"),
        "no file": words("no robots.txt: allowed"),
        "unreachable": words("unreachable: disallowed"),
    }
    rows: list[tuple[str, ...]] = []
    names: set[str] = set()
    for one in listed:
        for version in one["versions"]:
            for root in version["root"] if version["in_force"] else ():
                several = len(version["root"]) > 1
                name = f"{one['authority']} {root['product_token']}" if several else one["authority"]
                end = version["to"] or version["in_force_until"] or version["last_fetched_at"]
                if len(names | {name}) <= _DRAWN_MAX:
                    names.add(name)
                    rows.append((name, states[_state(version, root)], version["from"], end))
    if not rows:
        return ()
    tones = tuple(zip(states.values(), ("good", "bad", "neutral", "warn"), strict=True))
    return (
        Chart(
            kind=ChartKind.SPANS,
            title=words("What robots.txt said of the path /"),
            says=words("Time lines: {count}; versions drawn: {versions}.", count=len(names), versions=len(rows)),
            table=Table((words("Authority"), words("The path /"), words("From"), words("To")), tuple(rows)),
            tones=tones,
        ),
    )


def _state(version: dict[str, Any], root: dict[str, Any]) -> str:
    if version["outcome"] == "successful":
        return str(root["verdict"])
    return "no file" if version["outcome"] == "unavailable" else "unreachable"


def _authority(one: dict[str, Any], words: Words) -> Section:
    versions = one["versions"][:_VERSIONS_SHOWN]
    none = {"to": words("none since"), "lines_added": words("not compared"), "lines_removed": words("not compared")}
    told = [{**version, **{name: said for name, said in none.items() if version[name] is None}} for version in versions]
    blocks: list[Block] = [table(told, VERSION, words, _COLUMNS)]
    if len(one["versions"]) > len(versions):
        more = words("Further versions: {count}.", count=len(one["versions"]) - len(versions))
        blocks.append(Paragraph(more))
    for version in versions:
        facts = [(words("Of the path /"), _roots(version, words))]
        if version["sha256"] is not None:
            facts.append(
                (
                    words("File"),
                    words("{bytes} octets, SHA-256 {digest}", bytes=version["bytes"], digest=version["sha256"]),
                )
            )
        if version["signals"]:
            facts.append((words("Signals"), version["signals"]))
        if version["origin_log"] is not None:
            facts.append(
                (
                    words("Shared"),
                    words("fetched by {log} at {time}", log=version["origin_log"], time=version["fetched_at"]),
                )
            )
        if not version["in_force"]:
            facts.append((words("In force"), words("no: seen by a crawler while another copy was in force")))
        if version["error"] is not None:
            facts.append((words("Error"), version["error"]))
        blocks.append(Paragraph(words("From {start}: {outcome}.", start=version["from"], outcome=version["outcome"])))
        blocks.append(Facts(tuple(facts)))
        if version["diff"]:
            blocks.append(Lines(tuple(version["diff"])))
    return Section(title=one["authority"], blocks=tuple(blocks), under=True)


def _roots(version: dict[str, Any], words: Words) -> str:
    if not version["root"]:
        return words("not known: the file is no longer in the log")
    said = []
    for root in version["root"]:
        why = root["basis"] if root["rule"] is None else f"{root['rule']}, line {root['rule_line']}"
        said.append(f"{root['product_token']} {words(root['verdict'])} ({why})")
    return "; ".join(said)
