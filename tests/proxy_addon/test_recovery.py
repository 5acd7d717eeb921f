"""Whatever a crash leaves, the next start finishes it, and nothing acknowledged is gone."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest

from crawl_audit.errors import ConfigurationError
from crawl_audit.records import Instant, Record
from crawl_audit.seal import Signer, origin, parse_checkpoint, parse_note
from proxy_addon import checkpoints, emergency, recovery
from proxy_addon.chain import Chain
from proxy_addon.journal import Item, Journal, encode
from proxy_addon.live import LiveFile, RolledBackError
from proxy_addon.log_directory import LogDirectory
from proxy_addon.segments import publish
from proxy_addon.writer import Writer
from tests.logs import completion, run
from tests.writing import SETTINGS_SHA256, check, decision, directory_of, incident, kinds, published

ROOT = Path(__file__).resolve().parent.parent.parent
LOG = "node1-20261118T110640Z-00000001"


class Dead:
    """A process that writes a log by hand and stops wherever the test wants it to."""

    def __init__(self, path: Path) -> None:
        self.directory = LogDirectory(path)
        with self.directory.acquire():
            pass
        self.number = 0
        self.journal = Journal(self.directory, Chain(LOG), self.live(0), self.directory.spill(LOG))
        self.signer = Signer.generate(origin(LOG))

    def live(self, number: int) -> LiveFile:
        return LiveFile.create(self.directory.live_file(LOG, number), self.directory.spill(LOG))

    def write(self, *records: Record) -> None:
        assert self.journal.commit([Item(make=lambda _: [encode(record) for record in records])]).durable

    def seal(self, reason: str = "interval", *, sign: bool = True) -> None:
        sealed = self.journal.seal(reason, now=Instant(1), monotonic_ms=7, settings_sha256=SETTINGS_SHA256, dropped=0)
        assert sealed.durable
        if sign:
            checkpoints.store(self.directory, LOG, self.journal.chain.head(), self.signer)

    def go_over(self) -> Path:
        """Seal, rotate; the path of the closed live file."""
        self.seal("rotation")
        self.number += 1
        old, _ = self.journal.swap(self.live(self.number))
        old.close()
        return old.path

    def die(self) -> None:
        assert self.journal.live is not None
        self.journal.live.close()

    def die_at_once(self) -> None:
        """As kill -9: what only the front has stays there."""
        assert self.journal.live is not None
        self.journal.live._in_doubt = True
        self.journal.live.close()


@pytest.fixture
def dead(tmp_path: Path) -> Dead:
    return Dead(tmp_path)


def words(found: recovery.Recovered) -> list[str]:
    return [record.incident for record in found.incidents]


def signed_size(directory: LogDirectory) -> int:
    return parse_checkpoint(parse_note(directory.checkpoint(LOG).read_text()).text).size


def live_names(path: Path) -> list[str]:
    return sorted(file.name for file in (path / "live").iterdir() if file.name != "lock")


def recovered(path: Path) -> recovery.Recovered:
    with directory_of(path) as (directory, found):
        for chain in found.chains:
            checkpoints.store(directory, chain.log, chain.head(), Signer.generate("crawl-audit/next"))
        return found


def test_a_new_directory_has_nothing_to_recover(tmp_path: Path) -> None:
    assert recovered(tmp_path) == recovery.Recovered()


def test_a_log_cut_off_gets_its_outcomes_and_a_last_seal(dead: Dead, tmp_path: Path) -> None:
    dead.write(run(), decision(1), decision(2))
    dead.seal()
    dead.write(completion(1), decision(3))
    dead.die()
    found = recovered(tmp_path)
    check(tmp_path)
    assert kinds(tmp_path)[4:] == [
        "completion:completed",
        "decision",
        "completion:unknown_after_crash",
        "completion:unknown_after_crash",
        "incident:unclean_stop",
        "seal:recovered",
    ]
    rows = [entry for _, _, entry in published(tmp_path)]
    assert [entry["decision_seq"] for entry in rows if entry["k"] == "completion"] == [1, 2, 5]
    last = rows[-1]
    assert (last["decisions"], last["forwarded"], last["completions"], last["in_flight"]) == (3, 3, 3, 0)
    assert (last["seal_index"], last["first_seq"], last["settings_sha256"]) == (1, 4, SETTINGS_SHA256)
    assert (found.previous_log, words(found), live_names(tmp_path)) == (LOG, ["recovered_log"], [])
    assert f"The log {LOG}" in found.incidents[0].detail and "of its 2 seals" in found.incidents[0].detail
    assert signed_size(dead.directory) == 2
    again = recovered(tmp_path)
    assert (again.previous_log, again.incidents, again.chains) == (LOG, [], [])


def test_an_exchange_decided_in_an_earlier_segment_gets_its_outcome_too(dead: Dead, tmp_path: Path) -> None:
    dead.write(decision(0), decision(1), decision(2), completion(0))
    publish(dead.go_over(), dead.directory)
    dead.write(completion(2))
    dead.die()
    recovered(tmp_path)
    check(tmp_path)
    unknown = [
        entry["decision_seq"] for _, _, entry in published(tmp_path) if entry.get("outcome") == "unknown_after_crash"
    ]
    assert unknown == [1]


def test_a_crash_right_after_going_over_leaves_an_empty_file_that_takes_the_end(dead: Dead, tmp_path: Path) -> None:
    dead.write(decision(0))
    publish(dead.go_over(), dead.directory)
    dead.directory.live_file(LOG, 0).unlink()
    dead.directory.live_file(LOG, 0).with_suffix(".duckdb.wal").unlink()
    dead.die()
    recovered(tmp_path)
    check(tmp_path)
    assert kinds(tmp_path)[2:] == ["completion:unknown_after_crash", "incident:unclean_stop", "seal:recovered"]


def test_a_crash_before_going_over_leaves_a_file_opened_ahead_that_goes_away(dead: Dead, tmp_path: Path) -> None:
    dead.write(incident("a"))
    dead.live(1).close()
    dead.die()
    recovered(tmp_path)
    check(tmp_path)
    assert kinds(tmp_path) == ["incident:test", "incident:unclean_stop", "seal:recovered"]
    assert live_names(tmp_path) == []


@pytest.mark.parametrize("was_published", [False, True])
def test_rotated_files_are_published_before_the_last_one(dead: Dead, tmp_path: Path, was_published: bool) -> None:
    for number in range(3):
        dead.write(incident(str(number)))
        path = dead.go_over()
        if was_published:
            publish(path, dead.directory)  # and the process died before deleting the live file
    dead.write(incident("last"))
    dead.die()
    found = recovered(tmp_path)
    check(tmp_path)
    assert [entry["detail"] for _, _, entry in published(tmp_path) if entry["k"] == "incident"][:4] == [
        "0",
        "1",
        "2",
        "last",
    ]
    assert (words(found), live_names(tmp_path)) == (["recovered_log"], [])


def test_a_log_closed_but_not_published_gets_nothing_added(dead: Dead, tmp_path: Path) -> None:
    dead.write(incident("a"))
    dead.seal("shutdown")
    dead.die()
    recovered(tmp_path)
    check(tmp_path)
    assert kinds(tmp_path) == ["incident:test", "seal:shutdown"]


def test_a_closed_log_that_was_published_only_loses_its_live_file(dead: Dead, tmp_path: Path) -> None:
    dead.write(incident("a"))
    dead.seal("shutdown")
    dead.die()
    publish(dead.directory.live_file(LOG, 0), dead.directory)
    recovered(tmp_path)
    assert (kinds(tmp_path), live_names(tmp_path)) == (["incident:test", "seal:shutdown"], [])


def test_a_log_without_any_record_leaves_no_trace(dead: Dead, tmp_path: Path) -> None:
    dead.die()
    assert recovered(tmp_path) == recovery.Recovered()
    assert live_names(tmp_path) == []


def test_finishing_leaves_the_publishing_to_others(dead: Dead, tmp_path: Path) -> None:
    dead.write(decision(0))
    dead.go_over()
    dead.write(completion(0), decision(1))
    dead.die()
    with dead.directory.acquire():
        found = recovery.finish(dead.directory)
        assert [path.name for path in found.leftovers] == [f"{LOG}.00000{number}.duckdb" for number in range(2)]
        assert (words(found), found.previous_log) == (["recovered_log"], LOG)
        assert "of its 2 seals" in found.incidents[0].detail
        assert kinds(tmp_path) == []
        again = recovery.finish(dead.directory)
        assert again.leftovers == found.leftovers, "a crash before they are published changes nothing"
    recovered(tmp_path)
    check(tmp_path)
    assert kinds(tmp_path)[2:] == [
        "completion:completed",
        "decision",
        "completion:unknown_after_crash",
        "incident:unclean_stop",
        "seal:recovered",
    ]


def test_an_exchange_decided_in_a_file_that_waits_to_be_published_gets_its_outcome(dead: Dead, tmp_path: Path) -> None:
    dead.write(decision(0), decision(1))
    dead.go_over()
    dead.write(completion(1))
    dead.die()
    recovered(tmp_path)
    check(tmp_path)
    rows = [entry for _, _, entry in published(tmp_path)]
    assert [entry["decision_seq"] for entry in rows if entry.get("outcome") == "unknown_after_crash"] == [0]


def test_a_log_whose_last_file_is_empty_and_the_one_before_published_still_gets_its_end(
    dead: Dead, tmp_path: Path
) -> None:
    dead.write(decision(0))
    publish(dead.go_over(), dead.directory)  # and the process died before deleting the live file
    dead.die()
    recovered(tmp_path)
    check(tmp_path)
    assert kinds(tmp_path)[2:] == ["completion:unknown_after_crash", "incident:unclean_stop", "seal:recovered"]


def test_half_made_live_files_are_removed(dead: Dead, tmp_path: Path) -> None:
    dead.die()
    (tmp_path / "live" / f"{LOG}.000001.duckdb.new").write_bytes(b"half")
    (tmp_path / "live" / f"{LOG}.000001.duckdb.new.wal").write_bytes(b"half")
    recovered(tmp_path)
    assert live_names(tmp_path) == []


def test_a_crash_between_a_seal_and_its_checkpoint_is_made_good(dead: Dead, tmp_path: Path) -> None:
    dead.write(incident("a"))
    dead.seal()
    dead.seal("shutdown", sign=False)
    dead.die()
    assert signed_size(dead.directory) == 1
    recovered(tmp_path)
    assert signed_size(dead.directory) == 2


@pytest.mark.parametrize("damage", ["main", "wal", "empty", "other-table"])
def test_a_file_that_cannot_be_opened_is_kept_in_quarantine_and_told_of(
    dead: Dead, tmp_path: Path, damage: str
) -> None:
    dead.write(incident("published"))
    publish(dead.go_over(), dead.directory)
    dead.write(*(incident(f"{number} " + "x" * 3000) for number in range(20)))
    dead.die()
    path = dead.directory.live_file(LOG, 1)
    wal = path.with_name(path.name + ".wal")
    if damage == "main":
        path.write_bytes(b"not a database" * 1000)
    elif damage == "empty":
        path.write_bytes(b"not a database")
    elif damage == "other-table":
        wal.unlink()
        with duckdb.connect(str(path)) as connection:
            connection.execute("DROP TABLE entry")
    else:
        octets = bytearray(wal.read_bytes())
        for place in range(len(octets) // 3, len(octets) // 3 + 200):
            octets[place] ^= 0xFF
        wal.write_bytes(bytes(octets))
    before = {file.name: file.read_bytes() for file in (path, wal) if file.exists()}
    found = recovered(tmp_path)
    assert "quarantined_file" in words(found)
    assert {file.name: file.read_bytes() for file in (tmp_path / "quarantine").iterdir()} == before
    assert live_names(tmp_path) == []
    # A WAL whose only commit is damaged is one with a torn end, after which the log is ended like any other.
    end = ["incident:unclean_stop", "seal:recovered"] if damage == "wal" else []
    assert kinds(tmp_path) == ["incident:test", "seal:rotation", *end], "what was published stays, nothing is made up"


def test_a_wal_without_its_database_is_kept(dead: Dead, tmp_path: Path) -> None:
    dead.write(incident("a"))
    dead.die()
    dead.directory.live_file(LOG, 0).unlink()
    found = recovered(tmp_path)
    assert words(found) == ["quarantined_file"]
    assert [file.name for file in (tmp_path / "quarantine").iterdir()] == [f"{LOG}.000000.duckdb.wal"]


def test_quarantine_never_overwrites(dead: Dead, tmp_path: Path) -> None:
    dead.die()
    path = dead.directory.live_file(LOG, 0)
    for _ in range(2):
        path.write_bytes(b"not a database" * 1000)
        recovered(tmp_path)
    assert sorted(file.name for file in (tmp_path / "quarantine").iterdir()) == [path.name, path.name + ".1"]


def test_what_only_the_front_has_is_recovered_like_all_else(dead: Dead, tmp_path: Path) -> None:
    dead.write(incident("a"))
    dead.seal()
    assert dead.journal.live is not None
    dead.journal.live.move()
    dead.write(incident("b"), decision(1))
    dead.die_at_once()
    assert words(recovered(tmp_path)) == ["recovered_log"]
    check(tmp_path)
    assert kinds(tmp_path)[2:5] == ["incident:test", "decision", "completion:unknown_after_crash"]


def test_a_live_file_that_lost_what_its_front_goes_on_from_is_kept_and_told_of(dead: Dead, tmp_path: Path) -> None:
    """A disk that said it had written what it had not: the sidecar starts all the same."""
    dead.write(incident("a"), incident("b"), incident("c"))
    assert dead.journal.live is not None
    dead.journal.live.move()
    dead.journal.live._connection.execute("DELETE FROM live.entry WHERE seq = 2")
    dead.write(incident("d"))
    dead.die_at_once()
    assert words(recovered(tmp_path)) == ["quarantined_file"]
    names = {file.name for file in (tmp_path / "quarantine").iterdir()}
    assert {f"{LOG}.000000.duckdb", f"{LOG}.000000.duckdb.front"} <= names


def test_a_front_without_its_live_file_is_kept_and_told_of(dead: Dead, tmp_path: Path) -> None:
    dead.write(incident("a"))
    dead.die_at_once()
    dead.directory.live_file(LOG, 0).unlink()
    assert words(recovered(tmp_path)) == ["quarantined_file"]
    assert [file.name for file in (tmp_path / "quarantine").iterdir()] == [f"{LOG}.000000.duckdb.front"]


def test_a_file_with_changed_records_is_not_published_but_kept(dead: Dead, tmp_path: Path) -> None:
    dead.write(incident("true"))
    dead.seal("shutdown")
    assert dead.journal.live is not None
    dead.journal.live.move()
    dead.journal.live._connection.execute("UPDATE live.entry SET body = replace(body, 'true', 'false')")
    dead.die()
    assert words(recovered(tmp_path)) == ["recovered_log", "quarantined_file", "checkpoint_mismatch"]
    assert kinds(tmp_path) == []


def test_records_that_are_gone_although_a_checkpoint_vouches_for_them_are_told_of(dead: Dead, tmp_path: Path) -> None:
    dead.write(incident("a"))
    publish(dead.go_over(), dead.directory)
    dead.write(incident("b"))
    dead.seal()
    dead.write(incident("c"))
    dead.seal()
    dead.die()
    note = dead.directory.checkpoint(LOG).read_text()
    path = dead.directory.live_file(LOG, 1)
    path.with_name(path.name + ".wal").unlink()  # DuckDB opens it without a word
    found = recovered(tmp_path)
    assert "checkpoint_mismatch" in words(found)
    assert dead.directory.checkpoint(LOG).read_text() == note, "the head that proves the loss stays"
    assert found.chains == []


@pytest.mark.parametrize("text", ["", "garbage", "crawl-audit/x\n1\nAAAA\n\n— a AAAA\n"])
def test_a_malformed_checkpoint_is_told_of_and_stays(dead: Dead, tmp_path: Path, text: str) -> None:
    dead.write(incident("a"))
    dead.seal("shutdown")
    dead.die()
    dead.directory.checkpoint(LOG).write_text(text)
    assert "checkpoint_mismatch" in words(recovered(tmp_path))
    assert dead.directory.checkpoint(LOG).read_text() == text


def test_a_full_disk_refuses_the_start_and_loses_nothing(
    dead: Dead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead.write(decision(0))
    dead.die()

    def fail(live: LiveFile, first_seq: int, bodies: list[str]) -> None:
        raise RolledBackError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(LiveFile, "insert", fail)
        with pytest.raises(
            ConfigurationError, match="No space left on device; mend that and start again, nothing is lost"
        ):
            recovered(tmp_path)
    recovered(tmp_path)
    check(tmp_path)
    assert kinds(tmp_path)[-1] == "seal:recovered"


def test_a_helper_still_holding_the_file_is_waited_for_and_never_taken_for_damage(
    dead: Dead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead.write(incident("a"))
    dead.die()
    program = (
        "import duckdb, sys\n"
        "connection = duckdb.connect()\n"
        "connection.execute(f\"ATTACH '{sys.argv[1]}' AS live (READ_ONLY)\")\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    path = dead.directory.live_file(LOG, 0)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        monkeypatch.setattr(recovery, "_LOCK_PATIENCE_S", 0.2)
        with pytest.raises(ConfigurationError, match="lock"):
            recovered(tmp_path)
        assert live_names(tmp_path) != []
        holder.stdin.close()
    assert words(recovered(tmp_path)) == ["recovered_log"]


def test_logs_of_several_dead_processes_are_each_finished(tmp_path: Path) -> None:
    for name in ("b-20260101T000000Z-00000000", "a-20270101T000000Z-00000000"):
        directory = LogDirectory(tmp_path)
        with directory.acquire():
            live = LiveFile.create(directory.live_file(name, 0), directory.spill(name))
            live.insert(0, [encode(incident(name))[0]])
            live.close()
    found = recovered(tmp_path)
    check(tmp_path)
    assert (words(found), found.previous_log) == (["recovered_log"] * 2, "a-20270101T000000Z-00000000")
    assert len(published(tmp_path)) == 6


# A process that appends as fast as it can from several tasks and says on a pipe what was acknowledged; the parent
# kills it at a random moment.  With `early` it is the negative control: it says so before the record is durable.
CRASHING = """
import asyncio, os, pathlib, sys, threading, time
from proxy_addon.live import LiveFile, RolledBackError
from tests.writing import decision, writer_in

early = sys.argv[2] == "early"
if early:
    real = LiveFile.insert
    def slow(self, first_seq, bodies):
        time.sleep(0.05)
        real(self, first_seq, bodies)
    LiveFile.insert = slow

def say(text):
    os.write(1, (text + "\\n").encode())

async def client(writer, number):
    count = 0
    while True:
        count += 1
        record = decision(number * 1_000_000 + count)
        if early:
            say(record.exchange_id)
        await writer.append(record)
        if not early:
            say(record.exchange_id)

async def main():
    async with writer_in(pathlib.Path(sys.argv[1]), segment_age_s=0.25, seal_interval_s=0.1) as writer:
        say("ready")
        await asyncio.gather(*(client(writer, number) for number in range(4)))

asyncio.run(main())
"""


def crash(path: Path, when: str, seconds: float) -> set[str]:
    """Run it, kill it after that long; what it said was acknowledged."""
    with subprocess.Popen(
        [sys.executable, "-c", CRASHING, str(path), when], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        timer = time.monotonic() + seconds
        os.set_blocking(process.stdout.fileno(), False)
        said = b""
        while time.monotonic() < timer:
            said += process.stdout.read() or b""
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.set_blocking(process.stdout.fileno(), True)
        said += process.stdout.read()
    return {line.decode() for line in said.split(b"\n")[:-1]}


def lost(path: Path, acknowledged: set[str]) -> set[str]:
    return acknowledged - {entry["exchange_id"] for _, _, entry in published(path) if entry["k"] == "decision"}


def test_after_kills_at_random_moments_every_acknowledged_record_is_there_once(tmp_path: Path) -> None:
    chance = random.Random()
    acknowledged: dict[str, set[str]] = {}
    for _ in range(15):
        part = crash(tmp_path, "durable", chance.uniform(0.0, 0.4))
        previous = recovered(tmp_path).previous_log
        assert live_names(tmp_path) == []
        if part:
            assert previous is not None
            assert previous not in acknowledged
            acknowledged[previous] = part
    check(tmp_path)
    there: dict[str, list[str]] = {log: [] for log in acknowledged}
    for log, _, entry in published(tmp_path):
        if entry["k"] == "decision":
            there.setdefault(log, []).append(entry["exchange_id"])
    for log, part in acknowledged.items():
        assert part <= set(there[log]), "an acknowledged record is lost"
        assert len(there[log]) == len(set(there[log])), "a record is there twice"
    assert sum(map(len, acknowledged.values())) > 500, "the test wrote too little to show anything"


def test_the_kill_test_can_fail(tmp_path: Path) -> None:
    """The negative control: a writer that acknowledges before the commit is found out."""
    acknowledged = crash(tmp_path, "early", 0.3)
    recovered(tmp_path)
    assert lost(tmp_path, acknowledged)


def test_the_next_log_names_what_was_recovered(tmp_path: Path) -> None:
    crash(tmp_path, "durable", 0.2)

    async def scenario() -> str:
        with directory_of(tmp_path) as (directory, found):
            writer = await Writer.open(directory, node="next", settings_sha256="0" * 64, unsigned=found.chains)
            for record in found.incidents:
                await writer.append(record)
            await writer.close()
            return writer.log

    log = asyncio.run(scenario())
    assert kinds(tmp_path, log) == ["incident:recovered_log", "seal:shutdown"]
    check(tmp_path)


def left_behind(dead: Dead, *lines: str) -> Path:
    """An emergency file of the dead process, with the rest of its room unused."""
    path = emergency.emergency_file(dead.directory.path, LOG)
    path.parent.mkdir()
    path.write_bytes("".join((emergency.header_of(LOG), *lines)).encode() + bytes(1000))
    return path


def test_requests_that_left_unrecorded_before_a_crash_are_told_and_their_file_is_kept(dead: Dead) -> None:
    left = [decision(number) for number in range(3)]
    dead.write(run(), left[0])  # became durable by itself just before the crash
    dead.die()
    lines = [emergency.line_of(n + 1, encode(record)[0]) for n, record in enumerate(left)]
    path = left_behind(dead, *lines, emergency.uncounted_line(4))
    directory, content = dead.directory, path.read_bytes()
    with directory.acquire():
        found = recovery.finish(directory)
        assert recovery.finish(directory).gaps[0].requests == 6, "until the new log has told of it, it is found again"
        (gap,) = found.gaps
        assert (gap.requests, gap.kept, gap.first_seq, gap.cause) == (6, 2, None, "unclean_stop")
        assert (gap.first_at, gap.last_at) == (left[1].recorded_at, left[2].recorded_at)
        assert gap.file_sha256 == hashlib.sha256(content.partition(b"\0")[0]).hexdigest()
        recovery.put_all_away(found)
        kept = directory.quarantine / path.name
        assert kept.read_bytes() == content and f"quarantine/{path.name}." in gap.detail
        assert not path.exists()
        assert recovery.finish(directory).gaps == []


def test_an_emergency_file_whose_requests_are_all_on_record_is_no_gap(dead: Dead) -> None:
    record = decision(0)
    dead.write(run(), record)
    dead.die()
    left_behind(dead, emergency.line_of(1, encode(record)[0]))
    with directory_of(dead.directory.path) as (_, found):
        assert found.gaps == []
        assert "quarantined_file" in words(found)
        assert "Every request" in found.incidents[-1].detail


def test_an_emergency_file_that_was_never_needed_goes(dead: Dead) -> None:
    dead.die()
    path = left_behind(dead)
    with directory_of(dead.directory.path) as (_, found):
        assert (found.gaps, found.told, path.exists()) == ([], [], False)


@pytest.mark.parametrize("damage", [b"PAR1 this is none PAR1", b""])
def test_a_damaged_published_segment_is_told_of_and_forbids_no_start(dead: Dead, tmp_path: Path, damage: bytes) -> None:
    dead.write(incident("a"))
    publish(dead.go_over(), dead.directory)
    dead.seal("shutdown")
    dead.die()
    recovered(tmp_path)
    file = next((tmp_path / "segments" / LOG).glob("*/seal.parquet"))
    file.chmod(0o600)
    file.write_bytes(damage)
    found = recovered(tmp_path)
    assert (found.previous_log, words(found)) == (LOG, ["checkpoint_mismatch"])
    assert "cannot be read" in found.incidents[0].detail


def test_a_file_in_quarantine_is_moved_there_only_once_it_is_told_of(dead: Dead, tmp_path: Path) -> None:
    dead.die()
    path = dead.directory.live_file(LOG, 0)
    path.write_bytes(b"not a database" * 1000)
    with dead.directory.acquire():
        for _ in range(2):  # the first start died before its log said anything
            found = recovery.finish(dead.directory)
            assert (words(found), path.exists()) == (["quarantined_file"], True)
        recovery.put_all_away(found)
        assert (live_names(tmp_path), recovery.finish(dead.directory)) == ([], recovery.Recovered())


def test_what_another_living_process_writes_is_left_to_it(dead: Dead, tmp_path: Path) -> None:
    dead.write(run(), decision(1))
    dead.die()
    directory = LogDirectory(tmp_path)
    emergency.emergency_file(tmp_path, LOG).parent.mkdir()
    emergency.emergency_file(tmp_path, LOG).write_text("{}")
    for name in (f"{LOG}.000001.duckdb.new", f"{LOG}.000002.duckdb.wal"):
        (directory.live / name).touch()
    before = live_names(tmp_path)
    found = recovery.finish(directory, ours=lambda log: log != LOG)
    assert found == recovery.Recovered()
    assert live_names(tmp_path) == before
    assert emergency.emergency_file(tmp_path, LOG).exists()
    found = recovery.finish(directory, ours=lambda log: log == LOG)
    assert [path.name for path in found.leftovers] == [f"{LOG}.000000.duckdb"]
    assert found.previous_log == LOG


def test_which_log_came_before_is_for_the_caller_to_choose(dead: Dead, tmp_path: Path) -> None:
    dead.write(run(), decision(1))
    dead.die()
    shown: list[list[str]] = []

    def choose(logs: Sequence[str]) -> None:
        shown.append(list(logs))

    assert recovery.finish(LogDirectory(tmp_path), previous_of=choose).previous_log is None
    assert shown == [[LOG]]
