"""The answer to an inquiry for people: the sentence first, then the numbers, then what rests on what."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from reports.facts import facts, said
from reports.facts import table as table_of
from reports.fields import Field
from reports.kinds.inquiry_record import (
    ASKED,
    ATTESTATION,
    CRAWLERS,
    INQUIRY,
    NUMBERS,
    RECORD,
    ROBOTS,
    SEARCHED,
    SIGNALS,
)
from reports.render import Block, Chart, ChartKind, Facts, Paragraph, Section, Table
from reports.render import table_of as plain_table
from reports.words import Words

_BY_NAME = {field.name: field for field in RECORD.fields}
_CSV = (
    *(field.name for field in ASKED),
    *(field.name for field in NUMBERS),
    "robots_count",
    "signals_count",
    "training_use_status",
)
_HOSTS_DRAWN = 12


def sentence(shown: dict[str, Any], words: Words) -> str:
    """The answer in one sentence."""
    subject = shown["query_normalised"]
    return {
        "requests_found": words("Requests to {subject} left through the proxy.", subject=subject),
        "denied_only": words(
            "Requests to {subject} were made by a crawler and all were denied: none reached the site.", subject=subject
        ),
        "no_record_in_covered_log": words(
            "The log has no request to {subject} in the time it covers.", subject=subject
        ),
        "cannot_determine": words(
            "Whether {subject} was requested cannot be told: the log does not cover the period, or has holes.",
            subject=subject,
        ),
    }[shown["result"]]


def body(shown: dict[str, Any], words: Words) -> list[Section]:
    """The sections of the answer."""
    first: list[Block] = [Paragraph(sentence(shown, words)), _facts(shown, words), *_days(shown, words)]
    made = [Section(title="", blocks=tuple(first))]
    if shown["crawlers"]:
        blocks = (table_of(shown["crawlers"], CRAWLERS, words),)
        made.append(Section(title=words("Crawlers"), blocks=blocks))
    if shown["robots"]:
        names = ("from", "until", "authority", "source", "status", "outcome", "verdicts", "sha256")
        listed: list[Block] = [*_time_line(shown, words), table_of(shown["robots"], ROBOTS, words, names)]
        listed += _left_out(shown, "robots", words)
        made.append(Section(title=words("robots.txt in force"), blocks=tuple(listed)))
    if shown["signals"]:
        made.append(
            Section(
                title=words("Usage preferences found"),
                blocks=(table_of(shown["signals"], SIGNALS, words), *_left_out(shown, "signals", words)),
            )
        )
    made.append(Section(title=words("Training use"), blocks=_training(shown, words)))
    unknown = tuple(Paragraph(words(one["text"])) for one in shown["cannot_be_known"])
    made.append(Section(title=words("What cannot be known from this log"), blocks=unknown))
    if shown["crawlers_searched"]:
        searched = table_of(shown["crawlers_searched"], SEARCHED, words)
        made.append(Section(title=words("Crawlers searched"), blocks=(searched,)))
    return [*made, *_on_file(shown, words)]


def _facts(shown: dict[str, Any], words: Words) -> Facts:
    pairs = list(facts(shown, _named("result"), words).pairs)
    pairs.append(
        (words("Matched"), f"{said(shown['match_scope'], _BY_NAME['match_scope'], words)} {shown['query_normalised']}")
    )
    never = {**shown, **{name: words("never") for name in ("first_at", "last_at") if shown[name] is None}}
    pairs += facts(never, NUMBERS, words).pairs
    pairs += facts(shown, _named("training_use_status"), words).pairs
    if shown["same_host"] is not None:
        pairs.append((words("Same host, any URL"), shown["same_host"]))
    pairs += facts({k: v for k, v in shown.items() if v is not None}, _named("evidence_manifest_sha256"), words).pairs
    return Facts(tuple(pairs))


def _named(*names: str) -> Iterable[Field]:
    return [_BY_NAME[name] for name in names]


def _left_out(shown: dict[str, Any], name: str, words: Words) -> tuple[Paragraph, ...]:
    total, listed = shown[f"{name}_count"], len(shown[name])
    if not isinstance(total, int) or total <= listed:
        return ()
    return (Paragraph(words("Listed: {listed} of {total}.", listed=listed, total=total)),)


def _training(shown: dict[str, Any], words: Words) -> tuple[Block, ...]:
    if shown["attestation"] is None:
        said = words("Whether what was received was used for training is not known from a log, and nobody attests it.")
        return (Paragraph(said),)
    return (
        Paragraph(words("The operator attests it; the log neither shows nor contradicts it.")),
        Facts(
            (
                *facts(shown, _named("training_use_status"), words).pairs,
                *facts(shown["attestation"], ATTESTATION, words).pairs,
            )
        ),
    )


def _on_file(shown: dict[str, Any], words: Words) -> list[Section]:
    """What is on file about the inquiry, where anything is."""
    asked = {name: value for name, value in shown["inquiry"].items() if value not in (None, [])}
    explained = words.said(shown["infeasibility_explanation"])
    pairs = list(facts(asked, INQUIRY, words).pairs)
    pairs += [
        (words("Condition"), f"{one['condition']}: {words(one['met'])}{_shown_in(one)}")
        for one in asked.get("eligibility_checks", [])
    ]
    if explained:
        pairs.append((words("Why more cannot be told (as declared)"), explained))
    if shown.get("legal_hold"):
        pairs.append((words("Legal hold"), shown["legal_hold"]))
    return [Section(title=words("The inquiry"), blocks=(Facts(tuple(pairs)),))] if pairs else []


def _shown_in(check: dict[str, Any]) -> str:
    return "" if check["evidence_ref"] is None else f" ({check['evidence_ref']})"


def _days(shown: dict[str, Any], words: Words) -> tuple[Chart, ...]:
    """Requests by day, verdict and action; nothing where the level does not give days."""
    days = shown.get("days")
    if not days:
        return ()
    names = {
        ("allowed", "forwarded"): words("allowed, forwarded"),
        ("allowed", "denied"): words("allowed, denied"),
        ("disallowed", "forwarded"): words("disallowed, forwarded"),
        ("disallowed", "denied"): words("disallowed, denied"),
    }
    tones = dict(zip(names.values(), ("good", "neutral", "bad", "warn"), strict=True))
    sums: defaultdict[tuple[str, str], int] = defaultdict(int)
    for row in days:
        sums[row["day"], names.get((row["verdict"], row["action"]), words("other"))] += row["requests"]
    return (
        Chart(
            kind=ChartKind.DAYS,
            title=words("Requests by day and verdict"),
            says=words(
                "{requests} requests on {days} days, from {first} to {last}.",
                requests=sum(sums.values()),
                days=len({row["day"] for row in days}),
                first=days[0]["day"],
                last=days[-1]["day"],
            ),
            table=Table(
                (words("Day"), words("Verdict and action"), words("Requests")),
                tuple((day, series, number) for (day, series), number in sums.items()),
            ),
            tones=tuple(tones.items()),
        ),
    )


def _time_line(shown: dict[str, Any], words: Words) -> tuple[Chart, ...]:
    """Which robots.txt held when, per authority; nothing where the level gives months only."""
    if "days" not in shown:
        return ()
    names = {
        "successful": words("rules served"),
        "unavailable": words("no robots.txt"),
    }
    tones = {**dict(zip(names.values(), ("good", "neutral"), strict=True)), words("not reachable"): "bad"}
    rows = []
    copies = sorted(shown["robots"], key=lambda copy: copy["authority"])
    for authority, group in itertools.islice(itertools.groupby(copies, lambda copy: copy["authority"]), _HOSTS_DRAWN):
        listed = list(group)
        for copy, later in itertools.zip_longest(listed, listed[1:]):
            until = copy["until"] if later is None else min(copy["until"], later["from"])
            rows.append((authority, names.get(copy["outcome"], words("not reachable")), copy["from"], until))
    return (
        Chart(
            kind=ChartKind.SPANS,
            title=words("robots.txt in force over time"),
            says=words("Copies of robots.txt that decisions rested on: {count}.", count=len(shown["robots"])),
            table=Table((words("Authority"), words("State"), words("From"), words("To")), tuple(rows)),
            tones=tuple(tones.items()),
        ),
    )


def table(shown: dict[str, Any]) -> Table:
    """The answer as one CSV row."""
    return plain_table([shown], [name for name in _CSV if name in shown])
