"""Rewrites the golden reports from today's code: ``python -m tests.golden.reports.update``; look at every difference.

The log is small and always the same, and so are clock, version and record ids.  Every kind of report is held in
Markdown at every level and as JSON for regulators; ``LANGUAGES`` says which in more languages than English.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from reports import render, report
from reports.levels import Level
from reports.words import Language, Words
from tests import logs
from tests.reports.every_kind import BY_NAME, shown
from tests.reports.test_fields import REVIEWED, telling

HERE = Path(__file__).resolve().parent
NOW = datetime.fromisoformat("2026-12-01T09:00:00")
RECORD_ID = "019a0000-0000-7000-8000-000000000001"
LANGUAGES: dict[str, tuple[Language, ...]] = {"japan": (Language.EN, Language.JA)}


class Case(NamedTuple):
    """One file."""

    kind: str
    level: Level
    language: Language | None
    """None: JSON, which has no language."""

    @property
    def file(self) -> str:
        """Its name."""
        return f"{self.kind}.{self.level}." + ("json" if self.language is None else f"{self.language}.md")


CASES = [
    Case(kind, level, language)
    for kind in BY_NAME
    for level in Level
    for language in LANGUAGES.get(kind, (Language.EN,))
] + [Case(kind, Level.REGULATOR, None) for kind in BY_NAME]


@contextlib.contextmanager
def frozen() -> Iterator[None]:
    """Clock, record ids and versions stand still."""
    with (
        mock.patch("reports.envelope.now", return_value=NOW),
        mock.patch("reports.coverage.now", return_value=NOW),
        mock.patch("reports.envelope._uuid7", return_value=RECORD_ID),
        mock.patch("reports.envelope.list_version", return_value="1"),
        mock.patch("crawl_audit.__version__", "1.0"),
    ):
        yield


def small_log(directory: Path) -> Path:
    """60 exchanges, and the day after a run in which a site has closed two paths."""
    root = directory / "audit-log"
    before = logs.mixed(root, count=60)
    closed = b"User-agent: *\nDisallow: /a\nDisallow: /caf\n"
    later = logs.LogBuilder(root, "node1-20261119T110640Z-00000002")
    later.add(logs.run(at=logs.after(86_400), previous_log=before.log))
    later.add(logs.robots_body(closed, logs.after(86_401)))
    later.add(logs.snapshot("example.com", closed, logs.after(86_401)))
    later.add(logs.run("stop", logs.after(86_500)))
    later.publish()
    return root


def made(case: Case, root: Path) -> str:
    """What a case gives out today."""
    with frozen():
        seen = shown(case.kind, root, case.level)
        if case.language is None:
            return render.json_text(seen)
        return render.markdown(report.document(BY_NAME[case.kind], seen, Words(case.language)))


def main() -> None:
    """Write every file anew."""
    with tempfile.TemporaryDirectory() as directory:
        root = small_log(Path(directory))
        for old in (*HERE.glob("*.md"), *HERE.glob("*.json")):
            old.unlink()
        for case in CASES:
            (HERE / case.file).write_text(made(case, root), encoding="utf-8")
        from tests.golden.reports import summaries  # which needs what is above

        summaries.write(Path(directory))
    REVIEWED.write_text("".join(line + "\n" for line in telling()), encoding="utf-8")


if __name__ == "__main__":
    main()
