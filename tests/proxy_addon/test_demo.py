"""The demo as a command: what it prints, what it leaves, and that nothing outlives it."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from crawl_audit.errors import ConfigurationError, CrawlAuditError
from proxy_addon import demo
from proxy_addon.demo_comparison import Compared
from proxy_addon.demo_screen import Screen
from proxy_addon.demo_sites import PLANS, Site
from reports.log import open_log

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = 80
SECONDS_MAX = 60  # `make demo` promises less than a minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A demo that ran to its end in an empty directory."""

    directory: Path
    temporary: Path
    code: int
    out: str
    err: str
    seconds: float


def environment(temporary: Path) -> Mapping[str, str]:
    temporary.mkdir()
    return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary), "COLUMNS": str(COLUMNS)}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "proxy_addon", "demo", *arguments]


def tell(directory: Path, *arguments: str) -> Told:
    temporary = directory / "tmp"
    began = time.monotonic()
    done = subprocess.run(
        command(*arguments),
        cwd=directory,
        env=environment(temporary),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    seconds = time.monotonic() - began
    return Told(
        directory=directory,
        temporary=temporary,
        code=done.returncode,
        out=done.stdout,
        err=done.stderr,
        seconds=seconds,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return tell(tmp_path_factory.mktemp("demo"))


def test_the_demo_ends_well_in_less_than_a_minute(told: Told) -> None:
    assert (told.code, told.err) == (0, "")
    assert told.seconds < SECONDS_MAX
    assert told.out.rstrip().splitlines()[-1].startswith("Done in ")


def test_its_steps_are_numbered_and_each_says_in_a_sentence_what_one_sees(told: Told) -> None:
    steps = re.findall(r"^(\d+)\. (.+)\n─+\n(\S.*)", told.out, re.MULTILINE)
    assert [int(number) for number, _, _ in steps] == list(range(1, 11))
    assert "".join(sentence for _, _, sentence in steps).isprintable()


def test_a_crawler_that_is_installed_crawls_and_ignores_robots_txt(told: Told) -> None:
    assert re.search(r"wget .*-e robots=off|scrapy .*ROBOTSTXT_OBEY=False", told.out)


def test_the_readers_answer_in_the_terminals_width(told: Told) -> None:
    answers = [line for line in told.out.splitlines() if line.startswith("  │")]
    assert len(answers) > 100
    assert max(map(len, answers)) <= COLUMNS


@pytest.mark.parametrize(
    "line",
    [
        r"\$ crawl-audit status demo-log\n",
        r"\$ crawl-audit report sites demo-log\n",
        r"\$ crawl-audit inquiry demo-log 127\.0\.0\.6\n(.*\n)*?.*Content-Signal: search=yes, ai-train=no",
        r"\$ crawl-audit inquiry demo-log 127\.0\.0\.3\n(.*\n)*?.*Denied +3\n",
        r"\$ crawl-audit explain demo-log http://127\.0\.0\.3:\d+/private/salaries\.html\n",
        r"→ +5  │ Disallow: /private/\n",
        r"line 5: Disallow: /private/",
        r"\n  clinic +0 +0 +2 +0 +1 of 1\n",
        r"\n  atlas +2 +2 +2 +0 +2 of 2\n",
        r"All 16 requests for pages that arrived had been recorded before, as forwarded; 7\nwere denied",
    ],
)
def test_it_shows(told: Told, line: str) -> None:
    assert re.search(line, told.out)


def test_it_leaves_a_sealed_log_in_which_no_disallowed_page_was_reached(told: Told) -> None:
    with open_log(str(told.directory / "demo-log")) as log:
        actions = log.select("SELECT action, verdict, count(*) AS n FROM decision GROUP BY ALL ORDER BY action")
        violations = log.select("SELECT count(*) AS n FROM violation")
        stops = log.select("SELECT count(*) AS n FROM run WHERE event = 'stop'")
    assert [(row["action"], row["verdict"], row["n"]) for row in actions] == [
        ("denied", "disallowed", 7),
        ("forwarded", "allowed", 16),
    ]
    assert (violations[0]["n"], stops[0]["n"]) == (0, 1)
    assert list((told.directory / "demo-log" / "live").glob("*.duckdb*")) == []


def test_it_leaves_nothing_but_the_log(told: Told) -> None:
    assert sorted(path.name for path in told.directory.iterdir()) == ["demo-log", "tmp"]
    assert list(told.temporary.iterdir()) == []
    for host, port in re.findall(r"(127\.0\.0\.\d):(\d+)", told.out):
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect((host, int(port)))


def test_a_log_that_cannot_be_written_ends_the_demo_with_one_sentence(tmp_path: Path) -> None:
    told = tell(tmp_path, "--log", "/proc/demo-log")
    assert told.code == 1
    assert told.err.startswith("The demo stopped: the sidecar did not start: ")
    assert len(told.err.splitlines()) == 1
    assert list(told.temporary.iterdir()) == []


def test_a_log_directory_in_use_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    told = tell(tmp_path, "--log", ".")
    assert (told.code, told.out) == (78, "")
    assert "--log" in told.err
    assert len(told.err.splitlines()) == 1


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_a_demo_that_is_ended_early(tmp_path: Path, number: int) -> None:
    with subprocess.Popen(
        command(),
        cwd=tmp_path,
        env=environment(tmp_path / "tmp"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "listens on" in line:
                break
        assert len(processes_in(tmp_path)) > 1
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert processes_in(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def processes_in(directory: Path) -> list[int]:
    """The processes that run in a directory or below it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                where = Path(os.readlink(entry / "cwd"))
            except OSError:  # gone, or not ours to look at
                continue
            if where.is_relative_to(directory):
                found.append(int(entry.name))
    return found


def test_without_log_the_first_free_numbered_directory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo.log_directory(None) == Path("demo-log")
    Path("demo-log").mkdir()
    assert demo.log_directory(None) == Path("demo-log")
    Path("demo-log", "audit.duckdb").touch()
    assert demo.log_directory(None) == Path("demo-log-2")
    Path("demo-log-2").touch()
    assert demo.log_directory(None) == Path("demo-log-3")


def test_a_directory_asked_for_has_to_be_new_or_empty(tmp_path: Path) -> None:
    assert demo.log_directory(tmp_path / "new") == tmp_path / "new"
    assert demo.log_directory(tmp_path) == tmp_path
    (tmp_path / "file").touch()
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(ConfigurationError, match="not empty"):
            demo.log_directory(taken)


def compared(**numbers: int) -> Compared:
    site = Site(plan=PLANS[0], host="127.0.0.2", port=1, access_log=[])
    agreeing = dict.fromkeys(("arrived", "recorded", "denied", "robots_arrived", "robots_recorded"), 1)
    return Compared(site=site, **{**agreeing, "lost": 0, "trespasses": 0, **numbers})


@pytest.mark.parametrize("numbers", [{"arrived": 2}, {"lost": 1}, {"trespasses": 1}, {"robots_recorded": 0}])
def test_a_difference_between_the_two_accounts_fails_the_demo(numbers: dict[str, int]) -> None:
    story = demo.Story(Screen(io.StringIO()), Path("demo-log"))
    assert "had been recorded before" in story._verdict([compared()])
    with pytest.raises(CrawlAuditError, match=r"The demo failed: what library saw .* do not agree"):
        story._verdict([compared(**numbers)])


@pytest.mark.parametrize("numbers", [{"arrived": 0, "recorded": 0}, {"denied": 0}])
def test_a_crawl_that_shows_nothing_fails_the_demo(numbers: dict[str, int]) -> None:
    with pytest.raises(CrawlAuditError, match="did not ask"):
        demo.Story(Screen(io.StringIO()), Path("demo-log"))._verdict([compared(**numbers)])
