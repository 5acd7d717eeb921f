"""The command line: help, exit codes, one-sentence errors, and no mitmproxy."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

import crawl_audit as package
from crawl_audit.site import list_version
from reports import judging, output
from reports.disclaimers import TEXTS
from reports.kinds.registry import KINDS
from tests import logs
from tests.reports.command import crawl_audit, refused

COMMANDS = ("status", "inquiry", "lineage", "explain", "query", "report", "judge")
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", [*COMMANDS, "report schema", *(f"report {kind.name}" for kind in KINDS)])
def test_every_command_has_help_with_an_example(command: str) -> None:
    ran = crawl_audit(*command.split(), "--help")
    assert ran.code == 0
    assert f"Example:\n    crawl-audit {command} " in ran.out


def test_help_lists_every_command_and_the_exit_codes() -> None:
    ran = crawl_audit("--help")
    assert all(command in ran.out for command in COMMANDS)
    assert "3 incomplete, 78" in ran.out
    assert crawl_audit("--version").out == f"crawl-audit {package.__version__}\n"


def test_no_command_shows_the_usage() -> None:
    ran = crawl_audit()
    assert ran.code == 2
    assert "Usage:" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("nonsense",),
        ("inquiry", "x"),
        ("status", "a", "b"),
        ("report", "sites", "x", "--format", "pdf"),
        ("report", "sites", "x", "--level", "secret"),
        ("query", "x", "SELECT 1", "--limit", "0"),
        ("inquiry", "x", "example.com", "--from", "yesterday"),
        ("lineage", "x"),
        ("judge",),
        ("judge", "--robots", "/no/such/file", "--token", "x", "/"),
        ("judge", "--jsonl", "--token", "x"),
    ],
)
def test_wrong_usage_ends_with_two_and_one_sentence(arguments: tuple[str, ...]) -> None:
    refused(*arguments, code=2)


def test_an_unknown_report_names_the_kinds(mixed: logs.LogBuilder) -> None:
    said = refused("report", "nothing", mixed.root, code=2)
    assert "nothing" in said
    assert "--help" in said
    listed = crawl_audit("report", "--help").out
    assert all(f"  {kind.name} " in listed for kind in KINDS)


def test_a_report_that_cannot_be_written_is_a_sentence(mixed: logs.LogBuilder, tmp_path: Path) -> None:
    said = refused("report", "sites", mixed.root, "-o", tmp_path / "no" / "dir.md", code=78)
    assert "cannot be written" in said


@pytest.mark.parametrize("command", [("inquiry", "example.com"), ("report activity", None), ("report sites", None)])
def test_every_report_carries_its_envelope(mixed: logs.LogBuilder, command: tuple[str, str | None]) -> None:
    words = [*command[0].split(), mixed.root, *([command[1]] if command[1] else [])]
    answer = crawl_audit(*words, "--format", "json").json
    assert {"generated_at", "tool", "log_range", "row_count", "coverage", "disclaimers", "period"} <= set(answer)
    psl = answer["tool"].pop("psl_version")
    assert psl == list_version()
    assert answer["tool"] == {"name": "crawl-audit", "version": package.__version__}
    assert answer["log_range"] == [{"log": mixed.log, "first_seq": 0, "last_seq": 720}]
    assert all(one["text"] == TEXTS[one["id"]] for one in answer["disclaimers"])
    assert {"D-COLLECT", "D-COVER", "D-ROBOTS"} <= {one["id"] for one in answer["disclaimers"]}
    text = crawl_audit(*words).out
    assert all(one["text"] in text for one in answer["disclaimers"])
    assert answer["generated_at"].endswith("Z")


def test_judge_answers_like_a_matcher(tmp_path: Path) -> None:
    file = tmp_path / "robots.txt"
    file.write_bytes(logs.ROBOTS)
    asked = ("judge", "--robots", file, "--token", "AlphaBot")
    allowed = crawl_audit(*asked, "https://example.com/", "https://example.com/private/open")
    assert allowed.code == 0
    assert [line.split("\t")[0] for line in allowed.out.splitlines()] == ["allowed", "allowed"]
    disallowed = crawl_audit(*asked, "https://example.com/", "https://example.com/private/x", "--format", "json")
    assert disallowed.code == 1
    assert [(row["verdict"], row["rule_line"]) for row in disallowed.json] == [("allowed", None), ("disallowed", 8)]
    two = crawl_audit(
        "judge", "--robots", file, "--token", "GammaBot", "--token", "BetaBot", "https://e.example/private"
    )
    assert two.out == "disallowed\thttps://e.example/private\tline 8: Disallow: /private\n"


def test_judge_answers_line_by_line() -> None:
    question = {"id": 7, "robots": logs.ROBOTS.decode(), "token": "AlphaBot", "url": "https://example.com/private"}
    asked = io.BytesIO(json.dumps(question).encode() + b"\n\xff not json\n")
    answers = io.StringIO()
    judging.stream(asked, answers)
    first, second = (json.loads(line) for line in answers.getvalue().splitlines())
    assert (first["id"], first["verdict"], first["rule_line"]) == (7, "disallowed", 8)
    assert "error" in second


def test_the_readers_run_without_mitmproxy(mixed: logs.LogBuilder) -> None:
    program = (
        "import sys; sys.modules['mitmproxy'] = None; sys.modules['proxy_addon'] = None\n"
        "from reports.cli import main; main(sys.argv[1:])"
    )
    for words in (["status"], ["inquiry", "example.com"], ["report", "sites"]):
        order = [*words[:1], str(mixed.root), *words[1:]] if words[0] != "report" else [*words, str(mixed.root)]
        done = subprocess.run([sys.executable, "-c", program, *order], cwd=ROOT, capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"example.com" in done.stdout or words == ["status"]


def test_a_terminal_without_unicode_gets_escapes(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.decision("example.com", "/private", body=logs.ROBOTS, crawler="クローラ"))
    made.publish()
    environment = {"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin"}
    command = [sys.executable, "-m", "reports", "report", "activity", str(root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, env=environment, timeout=60)
    assert done.returncode == 0
    assert b"\\u30af" in done.stdout


def test_waiting_shows_nothing_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with output.waiting("Reading"):
        pass
    assert capsys.readouterr() == ("", "")


def test_questions_in_bulk_are_all_answered_and_one_that_cannot_be_judged_is_told_at_the_end() -> None:
    good = json.dumps({"id": 1, "robots": "User-agent: *\nDisallow: /p", "token": "FooBot", "url": "/p/1"})
    program = [sys.executable, "-m", "reports", "judge", "--jsonl"]

    def ask(*lines: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(program, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=60)

    whole, broken = ask(good, good), ask(good, "garbage", good)
    assert (whole.returncode, whole.stderr) == (0, "")
    assert broken.returncode == 3
    assert "1 of the lines" in broken.stderr
    answers = [json.loads(line) for line in broken.stdout.splitlines()]
    assert [answer.get("verdict") for answer in answers] == ["disallowed", None, "disallowed"]
