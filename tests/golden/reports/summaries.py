"""The golden EU summaries for the public in each language: crawlers for training, and an operator file."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from reports import render, report
from reports.kinds import eu
from reports.levels import Level
from reports.log import open_log
from reports.report import Question
from reports.words import Language, Words
from tests.golden.reports.update import HERE, frozen
from tests.reports import crawling


def file(language: Language) -> Path:
    """Where the summary in a language lies."""
    return HERE / "summaries" / f"eu.public.{language}.md"


def made(root: Path, language: Language) -> str:
    """What it is today; ``root`` is the log that `crawling.made` makes."""
    return render.markdown(report.document(eu.KIND, _shown(root), Words(language)))


@functools.cache
def _shown(root: Path) -> dict[str, Any]:
    with frozen(), open_log(str(root)) as log:
        question = Question(log=log, period=crawling.WHOLE, declared=crawling.DECLARED)
        return report.at_level(report.record(eu.KIND, question), report.fields_of(eu.KIND), Level.PUBLIC)


def write(directory: Path) -> None:
    """Write every file anew."""
    root = crawling.made(directory / "crawled" / "audit-log").root
    for language in Language:
        file(language).parent.mkdir(exist_ok=True)
        file(language).write_text(made(root, language), encoding="utf-8")
