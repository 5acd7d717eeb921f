"""What strangers write into a log or a command line: it is shown, never obeyed."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from crawl_audit import schema
from reports.log import LogFormatError, NotALogError, look, open_log
from tests import logs
from tests.reports.command import crawl_audit, refused

SQL = "x'); DROP VIEW decision; --"
HTML = "<script>alert(1)</script>"
BIDI = "\u202egnp.exe\u2066"
FORMULA = '=HYPERLINK("http://evil.example","x")'


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log full of what strangers may write; the schema allows any text without control characters."""
    root = tmp_path_factory.mktemp("hostile")
    made = logs.LogBuilder(root)
    made.add(logs.run(settings='{"crawlers": "not a list"}'))
    for number, text in enumerate(
        (SQL, HTML, BIDI, FORMULA, "|a|b|\\", "[x](http://evil.example)", "\u2028`*_#", "@SUM(1)")
    ):
        odd = {"host": text, "site": text, "crawler": text, "user_agent": text, "product_token": text}
        made.add(replace(logs.decision("example.com", "/" + text, logs.after(number)), **odd))
    made.publish()
    return root


@pytest.mark.parametrize("kind", ["activity", "sites"])
def test_a_report_makes_every_text_harmless(hostile: Path, kind: str) -> None:
    text = crawl_audit("report", kind, hostile).out
    markdown = crawl_audit("report", kind, hostile, "--format", "md").out
    table = crawl_audit("report", kind, hostile, "--format", "csv").out
    data = crawl_audit("report", kind, hostile, "--format", "json").out
    for shown in (text, markdown, table, data):
        assert "\u202e" not in shown
        assert "\u2066" not in shown
        assert "\u2028" not in shown
        assert SQL in shown.replace("\\", "").replace("''", "'") or "DROP VIEW" in shown
    assert "<script>" not in markdown
    assert re.search(r"(?<!\\)\]\(", markdown) is None
    assert "http://evil" not in markdown
    for row in csv.reader(io.StringIO(table)):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)
    assert data.isascii()


def test_markdown_rows_keep_their_cells_whatever_is_in_them(hostile: Path) -> None:
    lines = crawl_audit("report", "sites", hostile, "--format", "md").out.splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 1 + 1 + 8
    assert len({line.replace("\\\\", "").replace("\\|", "").count("|") for line in rows}) == 1


@pytest.mark.parametrize(
    "asked", [SQL, HTML, "a b", "", "*", "http://", "http://[::1", "ftp://example.com/", "a..b/ \x1b[2J"]
)
def test_what_is_no_domain_is_refused_in_a_sentence(mixed: logs.LogBuilder, asked: str) -> None:
    said = refused("inquiry", mixed.root, asked, code=2)
    assert "neither a domain nor a URL" in said
    assert "\x1b" not in said


@pytest.mark.parametrize("asked", ["'--.example", "x';DROP.example", 'http://example.com/";DROP VIEW site;--'])
def test_sql_in_a_question_finds_nothing_and_breaks_nothing(mixed: logs.LogBuilder, asked: str) -> None:
    ran = crawl_audit("inquiry", mixed.root, asked)
    assert ran.code in (1, 2)
    assert crawl_audit("inquiry", mixed.root, "example.com").code == 0


def test_lone_surrogates_of_a_command_line_are_percent_encoded(mixed: logs.LogBuilder) -> None:
    asked = "http://example.com/" + b"\xff\xfe".decode("utf-8", "surrogateescape")
    ran = crawl_audit("inquiry", mixed.root, asked, "--format", "json")
    assert (ran.code, ran.json["query_normalised"]) == (1, "http://example.com/%FF%FE")


@pytest.mark.parametrize("target", ["/%FF%FE~", "/100%", "/%zz", "/%F0%9F", "/%00"])
def test_a_url_that_is_not_utf8_is_found_and_hides_no_other(root: Path, target: str) -> None:
    made = logs.LogBuilder(root)
    for asked in (target, "/plain", "/other%FF"):
        made.add(logs.decision("example.com", asked))
    made.publish()
    for asked in (target, target.replace("~", "%7e").replace("FF", "ff"), "/plain"):
        ran = crawl_audit("inquiry", root, f"http://example.com{asked}", "--format", "json")
        assert (ran.code, ran.json["forwarded"]) == (0, 1)


def test_a_damaged_file_is_named(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.decision("example.com"))
    segment = made.publish()
    victim = segment / "decision.parquet"
    whole = victim.read_bytes()
    for damaged in (b"", b"PAR1" + b"\0" * 50, whole[: len(whole) // 2], whole[:-9] + b"\xff" * 5 + whole[-4:]):
        victim.write_bytes(damaged)
        for command in (("inquiry", root, "example.com"), ("report", "sites", root), ("status", root)):
            said = refused(*command, code=3)
            assert f"{victim} is damaged" in said
    assert "damaged" in refused("query", root, "SELECT * FROM decision", code=3)


def test_every_single_octet_of_damage_is_an_answer_or_a_sentence(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.decision("example.com"))
    victim = made.publish() / "decision.parquet"
    whole = victim.read_bytes()
    said = set()
    for place in range(4, len(whole), max(1, len(whole) // 12)):
        victim.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            with open_log(str(root)) as log:
                log.select("SELECT * FROM exchange")
        except LogFormatError as error:
            said.add(str(error))
    assert said
    assert not any("\n" in sentence for sentence in said)


def test_a_file_of_another_shape_is_refused(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.decision("example.com"))
    segment = made.publish()
    with duckdb.connect() as connection:
        where = str(segment / "completion.parquet")
        connection.execute(f"COPY (SELECT 'l' AS log, 1 AS v, [1] AS seq) TO '{where}' (FORMAT parquet)")
    assert "are not what their schema says" in refused("report", "sites", root, code=3)


def test_another_schema_version_is_refused_by_name(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.decision("example.com"))
    victim = str(made.publish() / "decision.parquet")
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t AS SELECT * REPLACE (2::INTEGER AS v) FROM '{victim}'")
        connection.execute(f"COPY t TO '{victim}' (FORMAT parquet)")
    said = refused("inquiry", root, "example.com", code=3)
    assert "schema version 2" in said
    assert f"reads version {schema.VERSION}" in said


def test_an_incomplete_copy_is_refused(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.decision("example.com"))
    made.publish()
    (root / "segments" / "schema" / "v1" / "tunnel.parquet").unlink()
    assert "the copy of the log is incomplete" in refused("inquiry", root, "example.com", code=3)


def test_what_is_no_log_directory_is_refused(tmp_path: Path, mixed: logs.LogBuilder) -> None:
    file = tmp_path / "file"
    file.touch()
    assert "There is no directory" in refused("status", tmp_path / "nowhere", code=2)
    assert "is a file" in refused("status", file, code=2)
    assert "no `segments/`" in refused("inquiry", tmp_path, "example.com", code=2)
    assert "no `segments/`" in refused("status", mixed.root / "segments", code=2)
    assert "copy the log" in refused("status", "https://bucket/log", code=2)
    with pytest.raises(NotALogError):
        look(str(tmp_path))


def test_an_empty_log_directory_says_what_to_do(root: Path) -> None:
    logs.LogBuilder(root)
    (root / "live").mkdir()
    (root / "live" / "x.duckdb").touch()
    for command in (("report", "sites", root), ("explain", root, "x"), ("query", root, "SELECT 1")):
        assert "`crawl-audit-proxy seal` publishes them" in refused(*command, code=3)


def test_a_directory_of_any_name_is_read(tmp_path: Path) -> None:
    made = logs.LogBuilder(tmp_path / "it's [a] *log*?")
    made.add(logs.decision("example.com"))
    made.publish()
    assert crawl_audit("inquiry", made.root, "example.com").code == 0
    assert "example.com" in crawl_audit("query", made.root, "SELECT host FROM decision").out
