"""The answer to an inquiry as a letter: the same values, in the words and the form of a letter in each language."""

from __future__ import annotations

import functools
import importlib.resources
import tomllib
from datetime import datetime
from typing import Any

from reports import coverage
from reports.render import Block, Document, Facts, Paragraph, Section, Table
from reports.words import Language, Words

ROWS_MAX = 20
"""Rows of a table in a letter; how many there are is said below it."""
_MONTHS = (
    "January February March April May June July August September October November December".split()
)  # fmt: skip
_SCOPES = {
    "exact URL": "scope_url",
    "origin": "scope_origin",
    "registrable domain": "scope_site",
    "host and subdomains": "scope_subdomains",
}


@functools.cache
def texts(language: Language) -> dict[str, str]:
    """Every text of the letter in one language."""
    found = (importlib.resources.files("reports") / "letter_texts.toml").read_text(encoding="utf-8")
    return {str(key): str(value) for key, value in tomllib.loads(found)[language.value].items()}


def document(shown: dict[str, Any], language: Language) -> Document:
    """The letter made of an answer as its level shows it."""
    said, words = texts(language), Words(language)
    blocks = (
        ("", _head(shown, said, language)),
        ("", _opening(shown, said)),
        (said["searched_title"], _searched(shown, said, language)),
        (said["found_title"], _found(shown, said, language)),
        (said["robots_title"], _robots(shown, said, language)),
        (said["signals_title"], _signals(shown, said, language)),
        (said["training_title"], _training(shown, said, language)),
        (said["unknown_title"], _unknown(shown, said, words)),
        (said["contact_title"], _end(shown, said)),
    )
    return Document(
        title=said["title"],
        sections=tuple(Section(title=title, blocks=tuple(made)) for title, made in blocks),
        notice=coverage.notice(shown["coverage"], words) or "",
        language=language.value,
    )


def _head(shown: dict[str, Any], said: dict[str, str], language: Language) -> list[Block]:
    inquiry, operator = shown["inquiry"], shown["operator"]
    pairs = [
        (said["date"], moment(shown["generated_at"][:10], language)),
        (said["to"], said["requester"]),
        (said["from"], operator["legal_name"] or said["no_operator"]),
    ]
    if inquiry["reference"] is not None:
        pairs.append((said["reference"], inquiry["reference"]))
    if inquiry["received_at"] is not None:
        pairs.append((said["received"], moment(inquiry["received_at"][:10], language)))
    return [Facts(tuple(pairs))]


def _opening(shown: dict[str, Any], said: dict[str, str]) -> list[Block]:
    made = [
        said["salutation"],
        said["opening"].format(subject=shown["query_normalised"]),
        said.get(f"opening_{shown['inquiry']['basis']}", ""),
        said["before_record"],
        said["record"],
    ]
    return _paragraphs(*made)


def _paragraphs(*texts: str) -> list[Block]:
    return [Paragraph(text) for text in texts if text]


def _searched(shown: dict[str, Any], said: dict[str, str], language: Language) -> list[Block]:
    scope = said[_SCOPES.get(shown["match_scope"], "scope_host")].format(subject=shown["query_normalised"])
    spans = [
        _between(moment(one["from"], language), moment(one["to"], language), said)
        for one in shown["coverage"]["periods"]
    ]
    tokens = [f"{one['crawler']} ({', '.join(one['product_tokens'])})" for one in shown["crawlers_searched"]]
    pairs = [
        (said["period"], _period(shown, said, language)),
        (said["covered"], _some(list(dict.fromkeys(spans)), said) if spans else said["covered_none"]),
        (said["crawlers"], _some(tokens, said) if tokens else said["none"]),
    ]
    return [Paragraph(said["searched"].format(scope=scope)), Facts(tuple(pairs))]


def _between(start: str, end: str, said: dict[str, str]) -> str:
    return start if start == end else said["between"].format(start=start, end=end)


def _some(values: list[str], said: dict[str, str]) -> str:
    """The first of many values, with how many there are."""
    listed = "; ".join(values[:ROWS_MAX])
    return listed + _cut(values, said, " ")


def _cut(values: list[Any], said: dict[str, str], before: str = "") -> str:
    more = len(values) > ROWS_MAX
    return before + said["listed"].format(listed=ROWS_MAX, total=len(values)) if more else ""


def _period(shown: dict[str, Any], said: dict[str, str], language: Language) -> str:
    start, end = (moment(shown["period"][name], language) for name in ("from", "to"))
    if start and end:
        return _between(start, end, said)
    return said["from_on"].format(start=start) if start else said["until"].format(end=end) if end else said["all"]


def _found(shown: dict[str, Any], said: dict[str, str], language: Language) -> list[Block]:
    made: list[Block] = [Paragraph(said[shown["result"]].format(subject=shown["query_normalised"]))]
    counted = (
        ("forwarded", "forwarded"),
        ("denied", "denied"),
        ("content", "content_responses"),
        ("bytes", "bytes"),
        ("violations", "violations"),
    )
    pairs = [(said[text], number(shown[name], said)) for text, name in counted]
    pairs += [(said[text], moment(shown[f"{text}_at"], language)) for text in ("first", "last") if shown[f"{text}_at"]]
    if shown["same_host"] is not None:
        pairs.append((said["host"], number(shown["same_host"]["requests"], said)))
    if shown["row_count"] or shown["same_host"]:
        made.append(Facts(tuple(pairs)))
    return made


def _robots(shown: dict[str, Any], said: dict[str, str], language: Language) -> list[Block]:
    copies = shown["robots"]
    if not copies:
        return [Paragraph(said["robots_none"])]
    header = tuple(said[name] for name in ("authority", "copy_from", "copy_until", "outcome", "disallowed"))
    rows = tuple(
        (
            copy["authority"],
            moment(copy["from"], language),
            moment(copy["until"], language),
            said.get(f"outcome_{copy['outcome']}", said["outcome_other"]),
            number(copy["verdicts"].get("disallowed", 0), said),
        )
        for copy in copies[:ROWS_MAX]
    )
    return [Paragraph(said["robots"]), Table(header, rows), *_listed(copies, said)]


def _signals(shown: dict[str, Any], said: dict[str, str], language: Language) -> list[Block]:
    found = shown["signals"]
    if not found:
        return [Paragraph(said["signals_none"])]
    header = tuple(said[name] for name in ("protocol", "authority", "value", "first_found", "after"))
    rows = tuple(
        (
            one["protocol"],
            one["host"],
            one["raw"],
            moment(one["first_at"], language),
            number(one["requests_after"], said),
        )
        for one in found[:ROWS_MAX]
    )
    return [Paragraph(said["signals"]), Table(header, rows), *_listed(found, said)]


def _listed(values: list[Any], said: dict[str, str]) -> list[Block]:
    cut = _cut(values, said)
    return [Paragraph(cut)] if cut else []


def _training(shown: dict[str, Any], said: dict[str, str], language: Language) -> list[Block]:
    made: list[Block] = [Paragraph(said[shown["training_use_status"]])]
    if shown["attestation"] is not None:
        by = shown["attestation"]
        text = said["attested" if by["reference"] is None else "attested_reference"]
        at = moment(by["attested_at"], language)
        made.append(Paragraph(text.format(by=by["attested_by"], at=at, reference=by["reference"])))
    return [*made, Paragraph(said["similarity"])]


def _unknown(shown: dict[str, Any], said: dict[str, str], words: Words) -> list[Block]:
    made: list[Block] = [Paragraph(words(one["text"])) for one in shown["cannot_be_known"]]
    explained = words.said(shown["infeasibility_explanation"])
    return [*made, Paragraph(said["infeasible"]), Paragraph(explained)] if explained else made


def _end(shown: dict[str, Any], said: dict[str, str]) -> list[Block]:
    contact = shown["operator"]["contact"] or said["no_contact"]
    text = said["contact_plain" if shown["inquiry"]["reference"] is None else "contact"]
    signature = said["signature"].format(name=shown["operator"]["legal_name"] or said["no_operator"])
    return _paragraphs(text.format(contact=contact), said["law"], said["closing"], signature)


def number(value: int | str, said: dict[str, str]) -> str:
    """A count, or its power of ten, as a letter says it."""
    if isinstance(value, str):
        low, _, high = value.partition("-")
        return said["band"].format(low=f"{int(low):,}", high=f"{int(high):,}")
    return f"{value:,}" if value else said["none"]


def moment(text: str | None, language: Language) -> str:
    """A month (``MM/YYYY``), day or instant of a record as the language writes it; nothing for None."""
    if text is None:
        return ""
    if "/" in text:
        month, _, year = text.partition("/")
        return f"{year}年{int(month)}月" if language is Language.JA else f"{_MONTHS[int(month) - 1]} {year}"
    at = datetime.fromisoformat(text.removesuffix("Z"))
    time = "" if "T" not in text else f" {at:%H:%M:%S} UTC"
    if language is Language.JA:
        return f"{at.year}年{at.month}月{at.day}日{time}"
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}{',' if time else ''}{time}"
