"""Bad input to every report in every form: strange words are shown and never obeyed, errors are one sentence."""

from __future__ import annotations

import csv
import functools
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crawl_audit.records import Signal
from reports import declarations, lineage, manifest, output, render, report
from reports.kinds import inquiry
from reports.kinds.registry import KINDS
from reports.levels import Level
from reports.log import open_log
from reports.matching import parse_subject
from reports.output import Format
from reports.period import Period
from reports.report import Kind, Question
from reports.words import Language, Words
from tests import logs
from tests.reports.command import crawl_audit, refused

STRANGE = (
    "x'); DROP VIEW decision; --",
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "\u202egnp.exe\u2066",
    '=HYPERLINK("http://evil.example","x")',
    "|a|b|\\",
    "[x](http://evil.example)",
    "\u2028`*_#{name}%s{0}",
    "@SUM(1)",
    "+1|cmd' /C calc'!A0",
    '" onmouseover="alert(3)',
)
UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028]")
NAMES = [kind.name for kind in KINDS]
EVERY = [*NAMES, "inquiry", "lineage"]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in which strangers wrote wherever they could."""
    made = logs.LogBuilder(tmp_path_factory.mktemp("hostile") / "audit-log")
    settings = {"crawlers": [{"id": text, "product_tokens": [text], "purpose": text} for text in STRANGE]}
    made.add(logs.run(settings=json.dumps(settings), node=STRANGE[1], software=json.dumps({"x": STRANGE[1]})))
    for number, text in enumerate(STRANGE):
        at = logs.after(number)
        body = f"User-agent: *\nDisallow: /{text}\n".encode()
        made.add(logs.robots_body(body, at))
        copy = made.add(replace(logs.snapshot("example.com", body, at), content_type=text, host=text, error=text))
        odd = {"host": text, "site": text, "crawler": text, "user_agent": text, "product_token": text}
        strange = {
            "exemption": text,
            "detail": text,
            "rule": f"Disallow: {text}",
            "basis": "rule",
            "verdict": "disallowed",
        }
        one = logs.decision("example.com", "/" + text, at, body=body, snapshot_seq=copy)
        seq = made.add(replace(one, **odd, **strange))
        made.add(
            logs.completion(seq, at, content_type=text, modality="text", barrier=text, body_sha256=f"{number:064x}")
        )
        made.add(
            Signal(
                recorded_at=at,
                exchange_id=one.exchange_id,
                snapshot_seq=None,
                protocol=text,
                raw=text,
                value=text,
                scope=text,
            )
        )
        made.add(replace(logs.snapshot("example.com", None, logs.after(number + 60)), host=text))
        url = f"/{text}"
        made.add(replace(logs.decision("example.com", url, at, body=body), rule=text, crawler=text, user_agent=text))
    closed = b"User-agent: *\nDisallow: /\n"
    made.add(replace(logs.decision("example.com", "/x", logs.after(110)), host=STRANGE[1], site=STRANGE[1]))
    made.add(logs.robots_body(closed, logs.after(120)))
    made.add(replace(logs.snapshot("example.com", closed, logs.after(120)), host=STRANGE[1]))
    made.publish()
    return made.root


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest that is no better, and an operator file as bad as one may be: it may hide no characters."""
    directory = tmp_path_factory.mktemp("given")
    text = json.dumps("".join((STRANGE[1], *STRANGE[3:6])))
    lines = [f"[operator]\nlegal_name = {text}\ncontact = {text}\neu_representative = {text}"]
    lines += [f"[egress_control]\nstatement = {text}"]
    lines += [f"[[training_use]]\nsites = ['*']\nstatus = 'excluded'\nattested_by = {text}\nattested_at = 2026-11-01"]
    lines += [f'[[crawler]]\nid = "alpha"\npurpose = {text}\nhow_to_block = {text}\ncontacts = [{text}]']
    (directory / "operator.toml").write_text("\n".join(lines), encoding="utf-8")
    rows = [f"{number:064x}" for number in range(5)] + list(STRANGE)
    (directory / "manifest.txt").write_text("\n".join(rows), encoding="utf-8")
    return directory


@functools.cache
def made(name: str, root: Path, beside: Path) -> tuple[Kind, dict[str, Any]]:
    """A kind and its internal record of the hostile log."""
    brought = manifest.read(str(beside / "manifest.txt"), None, None)
    kinds = {**{kind.name: kind for kind in KINDS}, "inquiry": inquiry.KIND, "lineage": lineage.kind(brought)}
    subject = parse_subject("example.com") if name == "inquiry" else None
    declared = declarations.read(str(beside / "operator.toml"))
    with open_log(str(root), also=[brought.path]) as log:
        question = Question(log=log, period=Period(), declared=declared, subject=subject)
        return kinds[name], report.record(kinds[name], question)


class Page(HTMLParser):
    """What a browser would make of a page: tags and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("name", EVERY)
def test_what_strangers_wrote_is_harmless_in_every_form(
    hostile: Path, given: Path, capsys: pytest.CaptureFixture[str], name: str, level: Level, language: Language
) -> None:
    kind, internal = made(name, hostile, given)
    shown = report.at_level(internal, report.fields_of(kind), level, bytes(32))
    document = report.document(kind, shown, Words(language))
    said = {}
    for form in Format if level is Level.INTERNAL else (Format.TEXT, Format.MD, Format.CSV, Format.JSON):
        output.emit(shown, document, kind.table(shown), form, None, rows_in=kind.counted)
        said[form] = capsys.readouterr().out
    for form, text in said.items():
        assert UNSAFE.search(text) is None, (form, UNSAFE.search(text))
    # What is indented by four is code, in which Markdown knows neither markup nor HTML.
    marked = "\n".join(line for line in said[Format.MD].splitlines() if not line.startswith("    "))
    assert re.search(r"<[a-zA-Z/]", marked) is None
    assert re.search(r"(?<!\\)\]\(", marked) is None
    assert "http://evil" not in marked
    assert json.loads(said[Format.JSON])["disclosure_level"] == level.value
    assert said[Format.JSON].isascii()
    for row in csv.reader(io.StringIO(said[Format.CSV])):
        assert not [
            cell for cell in row if cell.lstrip().startswith(render._FORMULA) and not cell.lstrip("-").isdigit()
        ]
    if Format.HTML in said:
        page = Page(said[Format.HTML])
        assert {tag for tag, _ in page.found} & {"script", "iframe", "object", "embed", "form", "base"} == set()
        assert [attrs for _, attrs in page.found if any(key.startswith("on") for key in attrs)] == []
        places = [attrs.get(key) or "" for _, attrs in page.found for key in ("href", "src", "xlink:href")]
        assert [place for place in places if place and not place.startswith(("#", "data:"))] == []


def test_the_hostile_words_do_arrive(hostile: Path, given: Path) -> None:
    silent = []
    for name in EVERY:
        kind, internal = made(name, hostile, given)
        shown = report.at_level(internal, report.fields_of(kind), Level.INTERNAL)
        sections = tuple(kind.body(shown, Words(Language.EN)))
        if "onerror=alert" not in render.text(render.Document(title=kind.title, sections=sections)):
            silent.append(name)
    assert silent == [], silent


def commands(root: Path, beside: Path) -> list[tuple[object, ...]]:
    """Every command that makes a record of a log."""
    reports = [("report", name, root) for name in NAMES]
    asked = ("inquiry", root, "example.com")
    return [*reports, asked, ("lineage", root, "--manifest", beside / "manifest.txt")]


def damage(root: Path) -> None:
    victim = next(root.glob("segments/node*/*/decision.parquet"))
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])


def other_version(root: Path) -> None:
    victim = str(next(root.glob("segments/node*/*/decision.parquet")))
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t AS SELECT * REPLACE (2::INTEGER AS v) FROM '{victim}'")
        connection.execute(f"COPY t TO '{victim}' (FORMAT parquet)")


def incomplete(root: Path) -> None:
    (root / "segments" / "schema" / "v1" / "tunnel.parquet").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(damage, "is damaged"), (other_version, "schema version 2"), (incomplete, "the copy of the log is incomplete")],
)
def test_evidence_that_cannot_be_read_is_a_sentence_in_every_report(
    hostile: Path, given: Path, root: Path, spoil: Any, said: str
) -> None:
    shutil.copytree(hostile, root)
    spoil(root)
    for command in commands(root, given):
        assert said in refused(*command, code=3), command


def test_an_empty_period_is_refused_and_one_outside_the_log_answered(hostile: Path, given: Path) -> None:
    for command in commands(hostile, given):
        empty = ("--from", "2026-11-20", "--to", "2026-11-19")
        assert "The period is empty" in refused(*command, *empty, code=2)
        ran = crawl_audit(*command, "--from", "1999-01-01", "--to", "1999-12-31", "--format", "json")
        assert ran.code in (0, 3), (command, ran.err)
        assert ran.json["coverage"]["covered"] == "none"
        if "result" in ran.json:
            assert ran.json["result"] == "cannot_determine"


@pytest.mark.parametrize(
    "asked", ["nobody.example", "'--.example", "xn--r8jz45g.jp", 'http://example.com/";DROP VIEW--']
)
def test_a_site_that_nobody_asked_for_is_an_answer(hostile: Path, given: Path, asked: str) -> None:
    limited = [("report", kind.name, hostile, "--site") for kind in KINDS if "site" in kind.takes]
    for command in (
        *limited,
        ("lineage", hostile, "--manifest", given / "manifest.txt", "--site"),
        ("inquiry", hostile),
    ):
        ran = crawl_audit(*command, asked)
        assert ran.code in (0, 1, 2, 3), command
        assert bool(ran.out) is (ran.code != 2)
        assert ran.err.count("\n") <= 1
    with open_log(str(hostile)) as log:
        assert log.select("SELECT count(*) AS n FROM decision")[0]["n"] == 2 * len(STRANGE) + 1


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"[operator\n", b"[operator]\nlegal_name = 7\n", b"[operator]\nnobody = 'x'\n", b"a = [" * 5000],
)
def test_an_operator_file_that_is_none_is_a_sentence(
    hostile: Path, given: Path, tmp_path: Path, content: bytes
) -> None:
    operator = tmp_path / "operator.toml"
    operator.write_bytes(content)
    for command in commands(hostile, given)[-3:]:
        assert "The operator file" in refused(*command, "--operator", operator, code=78)
