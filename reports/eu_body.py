"""Section 2.3 of the EU template as people read it: its labels as they stand, each answered, none left blank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reports import eu_fields as of
from reports import robots_features
from reports.card_fields import LISTS
from reports.facts import facts, said, table
from reports.fields import Field
from reports.kinds.activity import share_chart
from reports.render import Block, Facts, Lines, Paragraph, Section
from reports.words import Words

Crawler = dict[str, Any]


def body(shown: dict[str, Any], words: Words) -> list[Section]:
    """The sections in the order of the template, then those of 3.1 and 1.3."""
    made = [Section(title="", blocks=_about(shown, words))]
    made += [
        Section(title=f"({letter}) {field.shown_name}", blocks=tuple(BLOCKS[letter](shown, words)))
        for letter, field in _LETTERED.items()
    ]
    made.append(
        Section(
            title=words("Section 3.1: respect of reservations of rights (draft)"),
            blocks=tuple(_reservations(shown, words)),
        )
    )
    made.append(Section(title=words("Section 1.3: inputs to the size of the data"), blocks=tuple(_sizes(shown, words))))
    return made


def _about(shown: dict[str, Any], words: Words) -> tuple[Block, ...]:
    draft = words(
        "A draft of section 2.3 of the template for the public summary of training content (AI Act, Article 53(1)(d)),"
        " made of the log and of what the operator declares. The labels a to i are the template's own. Data that third"
        " parties compiled belong to section 2.1 and are not here."
    )
    return Paragraph(draft), facts(shown, of.ABOUT, words)


def _used(shown: dict[str, Any], words: Words) -> list[Block]:
    made: list[Block] = [Paragraph(words(shown["crawlers_used"]))]
    if shown["excluded"]:
        made += [
            Paragraph(words("Crawlers that this summary is not about:")),
            table(shown["excluded"], of.EXCLUDED.fields, words),
        ]
    return made


def _names(shown: dict[str, Any], words: Words) -> list[Block]:
    return [Lines(tuple(shown["crawler_names"]) or (words("None"),))]


def _each(value: Callable[[Crawler, Words], str]) -> Callable[[dict[str, Any], Words], list[Block]]:
    """One line per crawler; `None` where there is no crawler."""

    def blocks(shown: dict[str, Any], words: Words) -> list[Block]:
        if not shown["crawlers"]:
            return [Paragraph(words("None"))]
        return [Facts(tuple((one["name"], value(one, words)) for one in shown["crawlers"]))]

    return blocks


def _purpose(crawler: Crawler, words: Words) -> str:
    found = words.said(crawler["purpose"]) or words("For training, by its declared code; not supplied in plain words.")
    if crawler["configured_purpose"] in (None, crawler["purpose_code"]):
        return found
    return words(
        "{purpose} (The settings of its proxy say: {configured}.)",
        purpose=found,
        configured=crawler["configured_purpose"],
    )


def _periods(shown: dict[str, Any], words: Words) -> list[Block]:
    """Each crawler's period in the template's form; what of it the log does not show is said after them."""
    made = _each(lambda crawler, _: str(crawler["period"]))(shown, words)
    for crawler in shown["crawlers"]:
        if crawler["period_in_log"] != crawler["period"]:
            note = words(
                "{name}: the log shows {part}; the rest is declared by the operator.",
                name=crawler["name"],
                part=crawler["period_in_log"] or words("none"),
            )
            made.append(Paragraph(note))
    return made


def _modality(crawler: Crawler, words: Words) -> str:
    return ", ".join(crawler["modalities"]) or words("Not known")  # the template's own names


def _behaviours(shown: dict[str, Any], words: Words) -> list[Block]:
    made: list[Block] = []
    for crawler in shown["crawlers"]:
        made += [Paragraph(crawler["name"]), _behaviour(crawler, words)]
    return made or [Paragraph(words("None"))]


def _behaviour(crawler: Crawler, words: Words) -> Facts:
    """Five things, each named by itself: reviewers look for every one of them."""
    behaviour = crawler["behaviour"]
    other, captchas = behaviour["other_protocols"], behaviour["captchas"]
    passwords, paywalls = behaviour["password_protected_websites"], behaviour["paywalls"]
    found = ", ".join(f"{name} {sites}" for name, sites in other["signals"].items()) or words("none")
    return Facts(
        (
            (words("robots.txt"), _robots(crawler, words)),
            (
                words("Other protocols"),
                words(
                    "{policy} Found in the log, with the number of sites: {found}.",
                    policy=_policy(other["policy"], words),
                    found=found,
                ),
            ),
            (
                words("Captchas"),
                words(
                    "{policy} Answers in the log that showed a challenge: {answers}; a lower bound, as CAPTCHAs inside"
                    " pages are not visible to it.",
                    policy=_policy(captchas["policy"], words),
                    answers=captchas["answers"],
                ),
            ),
            (
                words("Password-protected websites"),
                words(
                    "{policy} Answers in the log with status 401 or 407: {answers}; a lower bound, as log-in pages are"
                    " not visible to it.",
                    policy=_policy(passwords["policy"], words),
                    answers=passwords["answers"],
                ),
            ),
            (
                words("Paywalls"),
                words(
                    "{policy} Answers in the log with status 402: {answers}; a lower bound, as paywalls inside pages"
                    " are not visible to it.",
                    policy=_policy(paywalls["policy"], words),
                    answers=paywalls["answers"],
                ),
            ),
        )
    )


def _policy(texts: dict[str, str] | None, words: Words) -> str:
    return words.said(texts) or words("Policy: not supplied.")


def _robots(crawler: Crawler, words: Words) -> str:
    figures = crawler["behaviour"]["robots_txt"]
    if not figures["requests"]:
        return words("Not known: no request of it is in the log.")
    return words(
        "Every request is judged by the site's robots.txt (RFC 9309) for the product tokens {tokens}; the mode was"
        " {modes} (audit: recorded; enforce: also denied). Of {requests} requests sites disallowed {disallowed}:"
        " {blocked} were denied, {violations} were forwarded nevertheless.",
        tokens=", ".join(crawler["product_tokens"]),
        modes=", ".join(figures["modes"]),
        requests=figures["requests"],
        disallowed=figures["disallowed"],
        blocked=figures["blocked"],
        violations=figures["violations"],
    )


def _contents(shown: dict[str, Any], words: Words) -> list[Block]:
    made: list[Block] = []
    for crawler in shown["crawlers"]:
        content = crawler["content"]
        made += [Paragraph(crawler["name"]), facts(content, of.CONTENT_FIELD.fields, words)]
        made += share_chart(content["kinds"], words("{name}: content by kind", name=crawler["name"]), words)
    if not made:
        return [Paragraph(words("None"))]
    demographic = words("Demographic characteristics are not derived: what is not described above is not known.")
    hint = (words(of.TOP_LEVEL.shown_name), said(shown["top_level_domains"], of.TOP_LEVEL, words))
    return [*made, Facts((hint,)), Paragraph(demographic)]


def _domains(shown: dict[str, Any], words: Words) -> list[Block]:
    chosen = shown["selection"]
    if not shown["domains"]:
        none = words("Not known") if shown["crawlers_used"] == of.NOT_KNOWN else words("None")
        return [Paragraph(none), facts(chosen, of.LEFT_OUT, words)]
    if chosen["rule"] == of.SME_RULE:
        rule = words(
            "The {listed} domain names that gave most content, of {total}: 5 % of their number, at most 1,000, as the"
            " operator declares to be a small or medium-sized enterprise.",
            listed=chosen["listed"],
            total=chosen["total"],
        )
    else:
        rule = words(
            "The {listed} domain names that gave most content, of {total}: 10 % of their number.",
            listed=chosen["listed"],
            total=chosen["total"],
        )
    note = words(
        "Status: {status}. Content is a 2xx answer with at least one octet that is not a robots.txt; domains whose"
        " requests were all denied or failed are not counted.",
        status=words(chosen["status"]),
    )
    return [
        Paragraph(rule),
        Paragraph(note),
        table(shown["domains"], of.DOMAINS.fields, words),
        facts(chosen, of.LEFT_OUT, words),
    ]


def _comments(shown: dict[str, Any], words: Words) -> list[Block]:
    method = words(
        "Method: sizes are octets of answers as received, before content decoding, through the proxies whose log this"
        " is. Domain names are registrable domains by the ICANN part of the Public Suffix List {version}. The list"
        " says what was collected, not what was kept or used. No list per modality is made.",
        version=shown["tool"]["psl_version"],
    )
    return [Paragraph(words.said(shown["comments"]) or words("None")), Paragraph(method)]


def _reservations(shown: dict[str, Any], words: Words) -> list[Block]:
    made: list[Block] = [facts(shown["section_3_1"], of.RESERVATIONS.fields, words)]
    for crawler in shown["crawlers"]:
        made += [
            Paragraph(words("Before and during collection by {name}, by the settings in force:", name=crawler["name"])),
            facts(crawler["robots"] or {}, robots_features.ROBOTS.fields, words)
            if crawler["robots"]
            else Paragraph(words("Not known: no run of the period is on record.")),
            *_lists(crawler, LISTS, words),
        ]
    return made


def _lists(crawler: Crawler, fields: tuple[Field, ...], words: Words) -> list[Block]:
    made: list[Block] = []
    for field in fields:
        rows = crawler[field.name]
        if rows:
            made += [Paragraph(words(field.shown_name)), table(rows, field.fields, words)]
        else:
            made.append(Facts(((words(field.shown_name), said(rows, field, words)),)))
    return made


def _sizes(shown: dict[str, Any], words: Words) -> list[Block]:
    note = words(
        "The template asks for the size of the data after pre-processing, which no log of collection knows: the"
        " operator must supply it."
    )
    return [facts(shown["section_1_3"], of.SIZES.fields, words), Paragraph(note)]


_LETTERED: dict[str, Field] = {
    "a": of.USED,
    "b": of.NAMES,
    "c": of.PURPOSE,
    "d": of.BEHAVIOUR,
    "e": of.PERIOD,
    "f": of.CONTENT_FIELD,
    "g": of.MODALITY,
    "h": of.DOMAINS,
    "i": of.COMMENTS,
}
BLOCKS: dict[str, Callable[[dict[str, Any], Words], list[Block]]] = {
    "a": _used,
    "b": _names,
    "c": _each(_purpose),
    "d": _behaviours,
    "e": _periods,
    "f": _contents,
    "g": _each(_modality),
    "h": _domains,
    "i": _comments,
}
"""What stands under each letter of the template."""
