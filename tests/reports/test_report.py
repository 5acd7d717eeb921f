"""How a record comes about: levels tied by digests, the same bytes for the same question, everything in its schema."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from reports import blinding, envelope_fields, render, report
from reports.fields import RecordType
from reports.levels import Level
from reports.log import open_log
from reports.report import Kind
from reports.url_key import make_url_key
from reports.words import ENGLISH
from tests import logs
from tests.reports.command import crawl_audit
from tests.reports.every_kind import BY_NAME, internal, shown

NAMES = list(BY_NAME)


def made(kind: str, root: Path, level: str, *options: object) -> dict[str, Any]:
    """The record as who gets the file has it."""
    ran = crawl_audit("report", kind, root, "--level", level, "--format", "json", *options)
    assert ran.code == 0, ran.err
    answer: dict[str, Any] = ran.json
    return answer


def recomputed(record: dict[str, Any]) -> str:
    """The digest as docs/records.md tells anybody to compute it."""
    own = ("record_id", "generated_at", "content_sha256", "tied")
    content = {name: value for name, value in record.items() if name not in own}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("kind", NAMES)
def test_levels_are_tied_by_their_digests(kind: str, mixed: logs.LogBuilder) -> None:
    public, regulator, internal = (as_file(shown(kind, mixed.root, level)) for level in Level)
    for record in (public, regulator, internal):
        assert recomputed(record) == record["content_sha256"]
    assert public["tied"] == {one["disclosure_level"]: one["content_sha256"] for one in (regulator, internal)}
    assert regulator["tied"] == {"internal": internal["content_sha256"]}
    assert internal["tied"] == {}


def as_file(record: dict[str, Any]) -> dict[str, Any]:
    """The record as who gets the JSON has it."""
    read: dict[str, Any] = json.loads(render.json_text(record))
    return read


def test_files_made_at_different_times_are_tied_and_say_the_same(mixed: logs.LogBuilder, tmp_path: Path) -> None:
    key = tmp_path / "url.key"
    make_url_key(str(key))
    options = ("--from", "2026-11-18", "--to", "2026-11-18", "--url-key", key)
    public, first, second = (made("activity", mixed.root, level, *options) for level in ("public", *["regulator"] * 2))
    assert public["tied"]["regulator"] == first["content_sha256"] == second["content_sha256"]
    assert first.pop("record_id") != second.pop("record_id")
    assert {**first, "generated_at": ""} == {**second, "generated_at": ""}


def test_any_change_of_what_a_record_says_changes_its_digest(mixed: logs.LogBuilder) -> None:
    record = as_file(shown("activity", mixed.root, Level.PUBLIC))
    for name in ("crawlers", "withheld", "notice", "disclosure_level", "coverage", "row_count"):
        assert recomputed({**record, name: "another"}) != record["content_sha256"]
    assert recomputed({**record, "record_id": "another", "tied": {}}) == record["content_sha256"]


def test_a_digest_of_a_confidential_record_cannot_be_found_by_trying_counts(mixed: logs.LogBuilder) -> None:
    """Who knows everything of the regulator's record but its blind cannot compute the digest that is public."""
    public, regulator = (as_file(shown("activity", mixed.root, level)) for level in (Level.PUBLIC, Level.REGULATOR))
    guessed = {**regulator, "blind": None}
    assert recomputed(guessed) != public["tied"]["regulator"]
    assert regulator["blind"] not in json.dumps(public)
    assert public["blind"] is None


def test_every_record_has_a_blind_of_its_own(mixed: logs.LogBuilder) -> None:
    blinds = {shown(kind, mixed.root, Level.REGULATOR)["blind"] for kind in NAMES}
    blinds.add(shown("activity", mixed.root, Level.INTERNAL)["blind"])
    assert len(blinds) == len(NAMES) + 1


def test_the_secret_of_a_log_comes_from_its_salts_and_without_any_nothing_is_tied(root: Path) -> None:
    empty = logs.LogBuilder(root)
    empty.add(logs.run())
    empty.publish()
    with open_log(str(root)) as log:
        assert blinding.secret(log) is None
    record = made("activity", root, "public")
    assert record["tied"] == {"regulator": None, "internal": None}
    assert record["withheld"][-1]["field"] == "tied"
    assert made("activity", root, "internal")["blind"] is None
    empty.add(logs.decision("example.com"))
    empty.publish()
    with open_log(str(root)) as log:
        known = blinding.secret(log)
    assert known is not None
    assert len(bytes.fromhex(known)) == 32


@pytest.mark.parametrize("kind", BY_NAME.values(), ids=NAMES)
def test_a_kind_declares_nothing_of_the_envelope_and_its_rows_are_counted(kind: Kind, mixed: logs.LogBuilder) -> None:
    record = internal(kind.name, mixed.root)
    own = {field.name for field in kind.record.fields}
    assert own & {field.name for field in (*envelope_fields.FIELDS, *report.LAST)} == set()
    assert set(record) == {*own, *(field.name for field in envelope_fields.FIELDS), "blind"}
    assert record["row_count"] == len(record[kind.counted])


MACHINES = ("node1", "10.0.0.7", "192.0.2.1", "/private/x", "caf%C3%A9")


@pytest.mark.parametrize("kind", BY_NAME.values(), ids=NAMES)
def test_names_of_machines_addresses_and_urls_are_in_no_form_of_a_public_report(
    kind: Kind, mixed: logs.LogBuilder
) -> None:
    seen = shown(kind.name, mixed.root, Level.PUBLIC)
    document = report.document(kind, seen, ENGLISH)
    forms = (render.text(document), render.json_text(seen), render.csv_text(kind.table(seen)), repr(document))
    assert [name for name in MACHINES if any(name in form for form in forms)] == []


def test_two_kinds_share_neither_name_nor_type() -> None:
    assert len(set(NAMES)) == len(NAMES)
    records: list[RecordType] = [kind.record for kind in BY_NAME.values()]
    assert len({(one.name, one.version) for one in records}) == len(records)
