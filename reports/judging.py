"""The command ``judge``: reads the robots.txt and the questions, and shows the judgements of :mod:`reports.judge`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from crawl_audit.records import Verdict
from reports import render
from reports.judge import answers, facts, judge_urls
from reports.matching import Subject, parse_subject
from reports.period import UsageError


def judge(robots: str | None, tokens: list[str], urls: list[str], as_json: bool) -> bool:
    """Show the judgement of each URL; whether any is disallowed.  Raises UsageError."""
    if robots is None or not tokens or not urls:
        raise UsageError("judge needs --robots FILE, at least one --token and at least one URL (or --jsonl).")
    body = read_robots(robots)
    judgements = judge_urls(body, tuple(tokens), urls)
    rows = [{"url": url, **facts(judgement)} for url, judgement in zip(urls, judgements, strict=True)]
    if as_json:
        sys.stdout.write(render.json_text(rows))
    else:
        sys.stdout.write("".join(_line(row) + "\n" for row in rows))
    return any(row["verdict"] == Verdict.DISALLOWED for row in rows)


def stream(questions: BinaryIO, out: TextIO) -> int:
    """One answer a line for one question a line, as they come; how many questions could not be answered."""
    unanswered = 0
    for answer in answers(line.decode("utf-8", "surrogateescape") for line in questions):
        unanswered += "error" in answer
        out.write(json.dumps(answer) + "\n")
    return unanswered


def subject_of(urls: list[str]) -> Subject:
    """The one domain or URL whose fetches are judged again; raises UsageError."""
    if len(urls) != 1:
        raise UsageError("judge --log needs exactly one domain or URL.")
    return parse_subject(urls[0])


def read_robots(robots: str) -> bytes:
    """The octets of a robots.txt file, or of standard input for ``-``; raises UsageError."""
    try:
        return sys.stdin.buffer.read() if robots == "-" else Path(robots).read_bytes()
    except OSError as error:
        raise UsageError(f"The robots.txt {robots} cannot be read: {error.strerror}.") from error


def _line(row: dict[str, Any]) -> str:
    why = row["basis"] if row["rule"] is None else f"line {row['rule_line']}: {row['rule']}"
    return "\t".join(render.visible(part) for part in (row["verdict"], row["url"], why))
