"""A manifest held against a log: whatever its form, the numbers are those of the records; errors are sentences."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports import lineage, lineage_cli, manifest
from reports.log import open_log
from reports.period import parse_period
from tests import logs
from tests.frames import frames
from tests.reports.command import crawl_audit, refused
from tests.reports.oracles.lineage import expected

KNOWN = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(12)]
STRANGE = hashlib.sha256(b"elsewhere").hexdigest()
KEPT = [*KNOWN[::2], KNOWN[0], STRANGE]


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of answers with known bodies from three sites, some without content, some without digest."""
    made = logs.LogBuilder(tmp_path_factory.mktemp("collected") / "audit-log")
    made.add(logs.run())
    for number in range(60):
        host = ("a.example.com", "example.co.uk", "2001:db8::1")[number % 3]
        target = "/robots.txt" if number % 17 == 0 else f"/{number}?q=%41"
        seq = made.add(logs.decision(host, target, logs.after(number), port=(80, 8080)[number % 2]))
        digest = None if number % 13 == 0 else KNOWN[number % 12]
        status = (200, 200, 206, 404)[number % 4]
        size = 0 if number % 19 == 0 else 7
        made.add(logs.completion(seq, logs.after(number), status=status, response_bytes=size, body_sha256=digest))
    made.add(logs.decision("example.com", "/unfinished", logs.after(61)))
    made.publish()
    return made.root


def held(root: Path, file: Path, *more: object) -> dict[str, Any]:
    ran = crawl_audit("lineage", root, "--manifest", file, *more, "--format", "json")
    assert ran.code in (0, 1), ran
    found: dict[str, Any] = ran.json
    return found


def sites(found: dict[str, Any]) -> dict[str, dict[str, int]]:
    said = ("training_use_status", "disagreement", "site")
    return {one["site"]: {name: one[name] for name in one if name not in said} for one in found["sites"]}


def text(values: list[str]) -> bytes:
    return ("\n".join(values) + "\n").encode()


def jsonl(values: list[str]) -> bytes:
    return text([json.dumps({"text": "a\nb " * 300, "sha256": value, "n": 1}) for value in values])


def parquet(select: str) -> Callable[[list[str]], bytes]:
    def write(values: list[str]) -> bytes:
        with duckdb.connect() as connection:
            connection.execute("CREATE TABLE given AS SELECT unnest($1::VARCHAR[]) AS value", [values])
            connection.execute(f"COPY (SELECT {select}, 1 AS other FROM given) TO '{PARQUET}' (FORMAT parquet)")
        return Path(PARQUET).read_bytes()

    return write


PARQUET = ""


@pytest.mark.parametrize(
    "write",
    [
        text,
        jsonl,
        parquet("value AS sha256"),
        parquet("unhex(value) AS sha256"),
        lambda values: text([f"sha256:{value.upper()}" for value in values]),
        lambda values: text([base64.b64encode(bytes.fromhex(value)).decode() for value in values]),
        lambda values: text(
            ["SHA-256=" + base64.urlsafe_b64encode(bytes.fromhex(v)).decode().rstrip("=") for v in values]
        ),
        lambda values: b"\xef\xbb\xbf" + "\r\n\r\n  ".join(values).encode(),
        lambda values: "\r".join(values).encode(),
    ],
    ids=["text", "jsonl", "parquet", "octets", "prefix", "base64", "base64url", "crlf", "cr"],
)
def test_every_form_of_a_manifest_gives_the_numbers_of_the_records(
    collected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[list[str]], bytes]
) -> None:
    monkeypatch.setattr(f"{__name__}.PARQUET", str(tmp_path / "made.parquet"))
    file = tmp_path / "manifest"
    file.write_bytes(write(KEPT))
    found = held(collected, file)
    want = expected(frames(collected), parse_period(None, None), KEPT, "sha256")
    assert sites(found) == want["sites"]
    about = found["manifest"]
    assert (about["rows"], about["invalid_rows"], about["rows_in_log"]) == (len(KEPT), 0, want["rows_in_log"])
    assert about["rows_not_in_log"] == len(KEPT) - want["rows_in_log"]
    assert about["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    totals = found["totals"]
    assert totals == {name: sum(one[name] for one in want["sites"].values()) for name in totals}
    assert totals["collected"] == totals["kept"] + totals["dropped"] + totals["not_comparable"]


@pytest.mark.parametrize("column", ["url", "page"])
def test_addresses_are_compared_as_the_log_writes_them(collected: Path, tmp_path: Path, column: str) -> None:
    as_logged = ["http://a.example.com/6?q=%41", "http://example.co.uk:8080/1?q=%41", "http://[2001:db8::1]/2?q=%41"]
    typed = ["HTTP://A.Example.com:80/6?q=%41#top", "http://u:p@example.co.uk:8080/1?q=%41", as_logged[2], "https://x"]
    file = tmp_path / "urls.jsonl"
    file.write_text("".join(json.dumps({column: one}) + "\n" for one in [*typed, "ftp://a/", 7]))
    more = () if column == "url" else ("--column", column, "--by", "url")
    found = held(collected, file, *more)
    want = expected(frames(collected), parse_period(None, None), [*as_logged, "https://x/"], "url")
    assert sites(found) == want["sites"]
    assert sum(one["kept"] for one in want["sites"].values()) > 1
    assert (found["manifest"]["rows_in_log"], found["manifest"]["invalid_rows"]) == (want["rows_in_log"], 2)
    assert found["manifest"]["invalid_examples"] == ["7", "ftp://a/"]


def test_period_and_site_limit_what_counts(collected: Path, tmp_path: Path) -> None:
    file = tmp_path / "manifest.txt"
    file.write_bytes(text(KEPT))
    limits = ("2026-11-18T11:06:50", "2026-11-18T11:07:10")
    found = held(collected, file, "--from", limits[0], "--to", limits[1], "--site", "example.co.uk")
    want = expected(frames(collected), parse_period(*limits), KEPT, "sha256")["sites"]["example.co.uk"]
    assert sites(found) == {"example.co.uk": want}
    assert found["query"] == "example.co.uk"
    nothing = held(collected, file, "--site", "nobody.example")
    assert (nothing["sites"], nothing["manifest"]["rows_in_log"], nothing["totals"]["collected"]) == ([], 0, 0)
    assert (
        "No content was received"
        in crawl_audit("lineage", collected, "--manifest", file, "--site", "nobody.example").out
    )


def attested(tmp_path: Path, status: str) -> Path:
    operator = tmp_path / "operator.toml"
    operator.write_text(
        f'[[training_use]]\nsites = ["example.co.uk"]\nstatus = "{status}"\n'
        'attested_by = "Data"\nattested_at = 2026-11-02\n'
    )
    return operator


@pytest.mark.parametrize(
    ("status", "values", "disagreement", "supports"),
    [
        ("excluded", KEPT, "attested excluded but kept", lineage.CONTRADICTED),
        ("excluded", [STRANGE], None, lineage.SUPPORTED),
        ("included", [STRANGE], "attested included but none kept", lineage.CONTRADICTED),
        ("included", KEPT, None, lineage.SUPPORTED),
        ("partial", [STRANGE], None, lineage.SUPPORTED),
    ],
)
def test_where_attestation_and_manifest_disagree_is_said(
    collected: Path, tmp_path: Path, status: str, values: list[str], disagreement: str | None, supports: str
) -> None:
    file = tmp_path / "manifest.txt"
    file.write_bytes(text(values))
    ran = crawl_audit(
        "lineage", collected, "--manifest", file, "--operator", attested(tmp_path, status), "--format", "json"
    )
    one = next(one for one in ran.json["sites"] if one["site"] == "example.co.uk")
    assert (one["training_use_status"], one["disagreement"]) == (f"operator_attested_{status}", disagreement)
    assert (ran.json["status"], ran.json["disagreements"]) == (supports, int(disagreement is not None))
    assert ran.code == (lineage_cli.DISAGREES if disagreement else 0)
    if disagreement:
        assert ran.json["sites"][0] == one


def test_without_an_attestation_nothing_is_supported(collected: Path, tmp_path: Path) -> None:
    file = tmp_path / "manifest.txt"
    file.write_bytes(text(KEPT))
    assert held(collected, file)["status"] == lineage.NOT_ATTESTED
    shown = crawl_audit("lineage", collected, "--manifest", file).out
    assert "before content decoding" in shown
    assert "trained on" not in shown


def test_rows_that_cannot_be_compared_are_counted_and_the_first_named(collected: Path, tmp_path: Path) -> None:
    file = tmp_path / "mixed.jsonl"
    lines = [
        json.dumps({"sha256": KNOWN[0]}),
        json.dumps({"sha256": KNOWN[0][:-1]}),
        json.dumps({"url": "http://a.example.com/"}),
        json.dumps({"sha256": {"a": 1}}),
        "not json",
        json.dumps({"sha256": "=cmd|' /C calc'!A0\u202e" + "x" * 200}),
        json.dumps({"sha256": KNOWN[2]}) + "\x1f\x1e\x1f\x1e",
        "[" * 5000,
    ]
    file.write_text("\n".join(lines))
    about = held(collected, file)["manifest"]
    assert (about["rows"], about["invalid_rows"], len(about["invalid_examples"])) == (8, 7, 3)
    assert all(len(example) <= 100 for example in about["invalid_examples"])
    for form in ("text", "md", "html", "csv", "json"):
        ran = crawl_audit("lineage", collected, "--manifest", file, "--format", form)
        assert "\u202e" not in ran.out + ran.err


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.txt", b"\n \n", "is empty"),
        ("x.gz", b"\x1f\x8b\x08\0", "is compressed"),
        ("x.parquet", b"PAR1" + bytes(200), "cannot be read: it is damaged"),
        ("x.txt", KNOWN[0].encode() + b"\n\xff\xfe\n", "it is not UTF-8"),
        ("x.txt", b"just words\n", "neither a SHA-256 digest nor a URL"),
        ("x.jsonl", b'{"a": 1}\n', "has no column sha256 or url (it has: a)"),
        ("x.jsonl", b'{"a": \n1}\n', "is no JSON object of its own"),
        ("x.txt", KNOWN[0].encode() + b"\n" + b"a" * 9_000_000, "a line of more than"),
    ],
)
def test_a_manifest_that_is_none_is_refused_in_a_sentence(
    collected: Path, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    assert said in refused("lineage", collected, "--manifest", file, code=78)


def test_what_does_not_fit_the_manifest_is_refused(collected: Path, tmp_path: Path) -> None:
    assert "There is no manifest" in refused("lineage", collected, "--manifest", tmp_path, code=78)
    file = tmp_path / "x.parquet"
    with duckdb.connect() as connection:
        connection.execute(f'COPY (SELECT [1] AS sha256, 2 AS "a""b") TO \'{file}\' (FORMAT parquet)')
    assert "holds BIGINT[], and not text" in refused(
        "lineage", collected, "--manifest", file, "--by", "sha256", code=78
    ).replace("INTEGER", "BIGINT")
    assert "has no column 'c'" in refused("lineage", collected, "--manifest", file, "--column", "c", code=78)
    assert "and not text" in refused("lineage", collected, "--manifest", file, "--column", 'a"b', code=78)
    plain = tmp_path / "plain.txt"
    plain.write_bytes(text(KEPT))
    assert "leave out --column" in refused("lineage", collected, "--manifest", plain, "--column", "x", code=2)


def test_a_damaged_page_of_a_parquet_manifest_is_a_sentence(collected: Path, tmp_path: Path) -> None:
    file = tmp_path / "it's [a] *manifest*.parquet"
    with duckdb.connect() as connection:
        made = str(tmp_path / "made.parquet")
        connection.execute(f"COPY (SELECT sha256(i::VARCHAR) AS sha256 FROM range(500) t(i)) TO '{made}'")
    whole = Path(made).read_bytes()
    file.write_bytes(whole)
    assert held(collected, file)["manifest"]["rows_in_log"] == 9
    file.write_bytes(whole[:100] + bytes(2000) + whole[2100:])
    assert "manifest" in refused("lineage", collected, "--manifest", file, code=78)


def test_a_manifest_that_changes_while_it_is_read_is_refused(collected: Path, tmp_path: Path) -> None:
    file = tmp_path / "manifest.txt"
    file.write_bytes(text(KEPT))
    brought = manifest.read(str(file), None, None)
    manifest.steady(brought)
    for other in (
        replace(brought, changed_ns=1),
        replace(brought, size_bytes=1),
        replace(brought, path=tmp_path / "x"),
    ):
        with pytest.raises(manifest.ConfigurationError, match="changed while it was read"):
            manifest.steady(other)


def test_only_the_manifest_is_opened_beside_the_segments(collected: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "manifest.txt", tmp_path / "other.txt"
    for one in (file, other):
        one.write_bytes(text(KEPT))
    with open_log(str(collected), also=[file]) as log:
        assert log.select(f"SELECT count(*) AS n FROM read_csv('{file}', header = false)") == [{"n": len(KEPT)}]
        with pytest.raises(lineage_cli.manifest.LogFormatError, match="disabled by configuration"):
            log.select(f"SELECT * FROM read_csv('{other}', header = false)")


def test_sites_beyond_the_limit_are_counted_and_in_public_none_is_named(collected: Path, tmp_path: Path) -> None:
    file = tmp_path / "secret-name.txt"
    file.write_bytes(text(KEPT))
    found = held(collected, file, "--limit", "1")
    assert (len(found["sites"]), found["sites_left_out"], found["sites_count"]) == (1, 2, 3)
    assert "Sites not listed: 2" in crawl_audit("lineage", collected, "--manifest", file, "--limit", "1").out
    public = crawl_audit("lineage", collected, "--manifest", file, "--level", "public")
    assert "example.co.uk" not in public.out
    assert "secret-name" not in public.out


@settings(max_examples=15)
@given(lines=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x1f"), max_size=12), max_size=20))
def test_any_text_is_read_line_by_line(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    file = tmp_path_factory.mktemp("any") / "manifest.txt"
    content = "\n".join([KNOWN[0], *lines])
    file.write_bytes(content.encode())
    brought = manifest.read(str(file), manifest.By.SHA256, None)
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT count(*), count(value) FROM ({brought.values})").fetchall()
    wanted = [line for line in content.replace("\r", "\n").split("\n") if line.strip(" ")]
    assert found == [(len(wanted), 1)]
