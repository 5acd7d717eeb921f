"""The statement under Japan's Principle Code as people read it: by principle and item, with how to check it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from reports import japan_facts, japan_record
from reports.facts import facts, said, table
from reports.fields import Field, Source
from reports.japan_words import acceptance, item_basis, reason, role, status, support, to_weigh
from reports.levels import Month
from reports.prose import Prose
from reports.render import Block, Facts, Figures, Paragraph, Section, Table, table_of
from reports.words import Words

_FIELDS = {field.name: field for field in japan_record.RECORD.fields}
_ITEM = {field.name: field for field in japan_record.ITEM}
_CRAWLER = {field.name: field for field in japan_facts.CRAWLERS.fields}
_PREFIX = "crawlers[]."
# Texts as long as policies are read below each other, words and numbers side by side.
_LONG = ("purpose", "password_policy", "paywall_policy", "captcha_policy", "other_protocols")
_CSV = (
    "principle",
    "key",
    "title_ja",
    "title_en",
    "status",
    "support",
    "text_ja",
    "text_en",
    "reason_code",
    "reason_ja",
    "reason_en",
    "to_weigh",
    "evidence",
    "references",
    "basis_mark",
    "basis_by",
    "outside_tool",
)


def body(shown: dict[str, Any], words: Words) -> list[Section]:
    """The statement itself, each item under its principle, then the notification, the changes and how to check."""
    made = [_statement(shown, words)]
    for one in shown["principles"]:
        name = one["principle"]
        listed = [item for item in shown["items"] if item["principle"] == name]
        title = words("Principle {number}: {title}", number=name, title=words.said(one["title"]))
        made.append(Section(title=title, blocks=(_overview(listed, words),)))
        made += [_item(item, number, shown, words) for number, item in enumerate(listed, start=1)]
    made.append(_notification(shown, words))
    if shown["form"]:
        made.append(Section(title=words("Fields of the notification form"), blocks=(_form(shown, words),)))
    return [*made, _changes(shown, words), _basis(shown, words), _check(shown, words)]


def _statement(shown: dict[str, Any], words: Words) -> Section:
    title = words.said(shown["code"]["title"])
    lead = words(
        "{operator} states below, item by item, what it implements of the {code}, and gives its reasons where it does"
        " not. Status, text and reasons are the operator's own words; beside them stands what the log of its crawlers"
        " shows.",
        operator=shown["operator"]["legal_name"] or words("operator not supplied"),
        code=title,
    )
    return Section(title="", blocks=(Paragraph(lead), _figures(shown, words), _head(shown, title, words)))


def _head(shown: dict[str, Any], title: str | None, words: Words) -> Facts:
    code = {field.name: field for field in japan_record.CODE}
    plain = ("signatory", "services", "models", "statement_date", "next_due")
    return Facts(
        (
            (words("Code"), title),
            *(
                (words(code[name].shown_name), said(shown["code"][name], code[name], words))
                for name in ("version", "text_sha256")
            ),
            (words("Acceptance"), acceptance(shown["acceptance"], words)),
            (words("Accepted on"), said(shown["accepted_at"], _FIELDS["accepted_at"], words)),
            (words("Role"), role(shown["role"], words)),
            *((words(_FIELDS[name].shown_name), said(shown[name], _FIELDS[name], words)) for name in plain),
        )
    )


def _figures(shown: dict[str, Any], words: Words) -> Figures:
    counted = Counter(item["status"] for item in shown["items"])
    states = ("comply", "partial", "explain", "not_applicable", None)
    return Figures(tuple((status(one, words), counted[one], words("items")) for one in states))


def _overview(listed: list[dict[str, Any]], words: Words) -> Table:
    header = (words("Item"), words("Status"), words("Rests on"), words("Basis mark"))
    cells = (
        (
            _title(item, number, words),
            status(item["status"], words),
            support(item, words),
            item_basis(item, words),
        )
        for number, item in enumerate(listed, start=1)
    )
    return Table(header, tuple(cells))


def _title(item: dict[str, Any], number: int, words: Words) -> str:
    return f"{item['principle']}.{number} {words.said(item['title'])}"


def _item(item: dict[str, Any], number: int, shown: dict[str, Any], words: Words) -> Section:
    blocks: list[Block] = []
    if item["status"] is None and item["text"] is None:
        blocks.append(Paragraph(words("The operator states nothing of this item (withheld: not supplied).")))
        if item["outside_tool"]:
            blocks.append(Paragraph(words("No log can answer it; only the operator can.")))
    else:
        stated = ((words("Status"), status(item["status"], words)), (words("Rests on"), support(item, words)))
        blocks += [Facts(stated), Paragraph(words.said(item["text"]) or words("withheld: not supplied"))]
    if grounds := _grounds(item, words):
        blocks.append(Facts(grounds))
    if known := _known(item, shown, words):
        blocks += [Paragraph(words("What the log shows and the operator declares of it:")), *known]
    return Section(title=_title(item, number, words), blocks=tuple(blocks), under=True)


def _grounds(item: dict[str, Any], words: Words) -> tuple[tuple[str, Any], ...]:
    """Why it is not (wholly) implemented, what is to be weighed, and what is referred to."""
    made: list[tuple[str, Any]] = []
    if item["reason"] is None or item["reason"]:
        made.append((words("Explanation"), words.said(item["reason"]) or words("withheld: not supplied")))
    if item["reason_code"]:
        made.append((words("Kind of reason"), reason(item["reason_code"], words)))
    if item["to_weigh"]:
        made.append((words("To be weighed"), [to_weigh(one, words) for one in item["to_weigh"]]))
    if item["evidence"]:
        made.append((words("Evidence"), item["evidence"]))
    if item["references"]:
        made.append((words("References"), item["references"]))
    return tuple(made)


def _known(item: dict[str, Any], shown: dict[str, Any], words: Words) -> list[Block]:
    """What the log shows and the operator file declares of an item."""
    paths = (*item["shows"], *item["declares"])
    names = [path.removeprefix(_PREFIX) for path in paths if path.startswith(_PREFIX)]
    blocks: list[Block] = []
    short, long = ([name for name in names if (name in _LONG) is wanted] for wanted in (False, True))
    if short and shown["crawlers"]:
        blocks.append(_columns(shown["crawlers"], ["crawler", *short], words))
    if long and shown["crawlers"]:
        blocks.append(_policies(shown["crawlers"], long, words))
    if "signals" in paths:
        blocks.append(table(shown["signals"], japan_facts.SIGNALS.fields, words))
    kept = [field for field in (japan_facts.RETENTION, japan_facts.LOG_SPAN) if field.name in paths]
    return [*blocks, *([facts({field.name: shown[field.name] for field in kept}, kept, words)] if kept else [])]


def _columns(crawlers: list[dict[str, Any]], names: list[str], words: Words) -> Table:
    rows = (tuple(_cell(crawler[name], _CRAWLER[name], words) for name in names) for crawler in crawlers)
    return Table(tuple(_heading(_CRAWLER[name], words) for name in names), tuple(rows))


def _cell(value: Any, field: Field, words: Words) -> Any:
    if field.name == "earlier_period" and value is not None:
        return " – ".join(str(words.value(Month(month))) for month in value.split(" – "))
    return said(value, field, words)


def _heading(field: Field, words: Words) -> str:
    label = words(field.shown_name)
    return words("{name} (declared)", name=label) if field.source is Source.DECLARED else label


def _policies(crawlers: list[dict[str, Any]], names: list[str], words: Words) -> Table:
    header = (words("Crawler"), words("Subject"), words("Policy (declared)"))
    cells = (
        (crawler["crawler"], words(_CRAWLER[name].shown_name), said(crawler[name], _CRAWLER[name], words))
        for crawler in crawlers
        for name in names
    )
    return Table(header, tuple(cells))


def _notification(shown: dict[str, Any], words: Words) -> Section:
    stated = facts(shown["notification"], japan_record.NOTIFICATION, words)
    return Section(title=words("Notification to the Cabinet Office (as declared)"), blocks=(stated,))


def _form(shown: dict[str, Any], words: Words) -> Facts:
    by_id = {item["item"]: item for item in shown["items"]}
    return Facts(tuple((one["field"], _answer(one, by_id, words)) for one in shown["form"]))


def _answer(one: dict[str, Any], by_id: dict[str, dict[str, Any]], words: Words) -> str:
    if one["item"] is None:
        value = str(one["value"])
        return words("yes") if value == "yes" else words("no") if value == "no" else value
    item = by_id[one["item"]]
    given = [text for text in (words.said(item["text"]), words.said(item["reason"])) if text]
    return words(
        "{status}. {text}",
        status=status(item["status"], words),
        text=" ".join(given) or words("withheld: not supplied"),
    )


def _changes(shown: dict[str, Any], words: Words) -> Section:
    title, changes = words(_FIELDS["diff_since_previous"].shown_name), shown["diff_since_previous"]
    if changes is None:
        none = words("No previous statement was given (--previous), so nothing is said of changes.")
        return Section(title=title, blocks=(Paragraph(none),))
    blocks: list[Block] = [facts(shown["previous_statement"], _FIELDS["previous_statement"].fields, words)]
    if changes:
        header = (words("Item"), words("Change"), words("What"), words("Before"), words("After"))
        blocks.append(Table(header, tuple(_changed(one, words) for one in changes)))
    else:
        blocks.append(Paragraph(words("Nothing changed.")))
    return Section(title=title, blocks=tuple(blocks))


def _changed(one: dict[str, Any], words: Words) -> tuple[Any, ...]:
    field = (_ITEM if one["item"] else _FIELDS).get(one["what"] or "")
    return (
        one["item"] or words("the statement as a whole"),
        {"added": words("added"), "removed": words("removed"), "changed": words("changed")}[one["change"]],
        words(field.shown_name) if field else "",
        _changed_word(one["what"], one["before"], words),
        _changed_word(one["what"], one["after"], words),
    )


def _changed_word(what: str | None, value: str | None, words: Words) -> str | None:
    """A word of this record's in the reader's language; anything else, an earlier record's own word too, as it is."""
    if value is None or what not in ("status", "acceptance", "role", "reason_code"):
        return value
    said_as = {"status": status, "acceptance": acceptance, "role": role, "reason_code": reason}[what]
    return said_as(value, words)


def _basis(shown: dict[str, Any], words: Words) -> Section:
    known = words(
        "The Principle Code was published on 2026-08-25. The built-in list of items was made without its final text:"
        " headings are summaries, and the basis mark of each item says how its wording is known."
    )
    legend = (
        ("F", words("read in the text of the final code")),
        ("D", words("reported of the draft; not checked against the text of the final code")),
        ("U", words("not checked against any text of the code")),
    )
    counted = Counter(item["basis_mark"] for item in shown["items"])
    header = (words("Basis mark"), words("Meaning"), words("Items"))
    table_of_marks = Table(header, tuple((mark, meaning, counted[mark]) for mark, meaning in legend))
    return Section(title=words("How the items are known"), blocks=(Paragraph(known), table_of_marks))


def _check(shown: dict[str, Any], words: Words) -> Section:
    blocks: list[Block] = [
        Paragraph(
            words(
                "The records below were made from the same log, period and operator file as this statement. Whoever has"
                " all three can make them again and compare their digests (content_sha256)."
            )
        ),
        table(shown["evidence"], japan_record.EVIDENCE, words),
        Paragraph(
            words(
                "`crawl-audit verify` says whether the log itself is whole and unaltered; docs/auditing.md shows each"
                " step. What rests on the operator's word alone can be checked with the operator only."
            )
        ),
    ]
    return Section(title=words("How to check this statement"), blocks=tuple(blocks))


def rows(shown: dict[str, Any]) -> Table:
    """The items as CSV rows, texts in both languages."""
    return table_of([_row(item) for item in shown["items"]], _CSV)


def _row(item: dict[str, Any]) -> dict[str, Any]:
    texts = {
        f"{name}_{language}": None if (said_in := (item[name] or {}).get(language)) is None else Prose(said_in)
        for name in ("title", "text", "reason")
        for language in ("ja", "en")
    }
    return {**item, **texts}
