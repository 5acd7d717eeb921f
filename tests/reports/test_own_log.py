"""Logs that readers write themselves have the form of any other, and count only where they read back as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crawl_audit import schema
from crawl_audit.errors import LogFormatError
from crawl_audit.records import Custody, Instant
from reports import own_log, rewriting
from reports.evidence_form import LOG_NAME

AT = Instant(1_790_000_000_000_000)
LOG = "fleet-20260921T131320Z-00000000"


def entries(connection: rewriting.Connection) -> list[str]:
    first = own_log.first_record(connection, AT, event="custody", node="custodian", settings="{}", vkey="k")
    deed = Custody(
        recorded_at=AT,
        event="hold_placed",
        hold="h1",
        subject_log=None,
        first_seq=None,
        last_seq=None,
        rows=1,
        fields=(),
        leaves_sha256=None,
        scope="all",
        reason="asked",
        custodian="A. Keeper",
    )
    return [own_log.entry_of(first), own_log.entry_of(deed)]


def test_a_name_tells_the_kind_and_the_second_and_never_comes_twice() -> None:
    one, other = (own_log.new_name("fleet-", AT) for _ in range(2))
    assert one != other and LOG_NAME.fullmatch(one)
    assert re.fullmatch(r"fleet-20260921T141320Z-[0-9a-f]{8}", one)


def test_a_segment_holds_a_file_for_each_kind_with_the_records_and_their_leaves(tmp_path: Path) -> None:
    with rewriting.connect(tmp_path / "spill") as connection:
        wanted = entries(connection)
        made = own_log.write_segment(connection, tmp_path / "log", LOG, 7, wanted)
        found = [
            row
            for kind in ("custody", "run")
            for row in connection.execute(
                rewriting.leaves_of(kind, f"({rewriting.relation(kind, [made / f'{kind}.parquet'])})")
            ).fetchall()
        ]
    assert made == tmp_path / "log" / "000000000007-000000000008"
    assert sorted(path.name for path in made.iterdir()) == ["custody.parquet", "run.parquet"]
    assert sorted(found, key=lambda row: row[1]) == [
        (LOG, 7 + number, own_log.leaf_of(entry).hex()) for number, entry in enumerate(wanted)
    ]


def test_what_does_not_read_back_is_not_taken_for_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = rewriting.write_parquet

    def lose_what_is_custody(connection: rewriting.Connection, select: str, file: Path) -> None:
        real(connection, select + (" LIMIT 0" if file.stem == "custody" else ""), file)

    monkeypatch.setattr(own_log, "write_parquet", lose_what_is_custody)
    with rewriting.connect(tmp_path / "spill") as connection, pytest.raises(LogFormatError, match="does not read back"):
        own_log.write_segment(connection, tmp_path / "log", LOG, 0, entries(connection))


def test_two_records_that_say_the_same_have_salts_of_their_own(tmp_path: Path) -> None:
    with rewriting.connect(tmp_path / "spill") as connection:
        one, deed = entries(connection)
        again = entries(connection)
    assert one == again[0] and (deed != again[1]) is schema.has_salt("custody")


def test_the_first_record_says_what_wrote_it_and_binds_the_settings(tmp_path: Path) -> None:
    with rewriting.connect(tmp_path / "spill") as connection:
        made = own_log.first_record(connection, AT, event="fleet", node="fleet", settings="{}", vkey="k")
    assert '"duckdb":"' in made.software and '"crawl-audit":"' in made.software
    assert made.settings_sha256 == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
