"""Rewrites the golden reports from today's code: ``python -m tests.golden.reports.update``; look at every difference.

The log is small and always the same, and so are clock, version and record ids.  Every kind of report, an inquiry and
a lineage are held in Markdown at every level and as JSON for regulators; ``LANGUAGES`` says which in more languages
than English. An answer letter is held in both, as whoever asked gets it.
"""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from reports import letter, lineage, manifest, render, report
from reports.declarations import Declarations
from reports.kinds import inquiry
from reports.levels import Level
from reports.log import open_log
from reports.matching import parse_subject
from reports.period import Period
from reports.report import Kind, Question
from reports.words import Language, Words
from tests import logs
from tests.reports.every_kind import BY_NAME, KEY, internal
from tests.reports.test_fields import REVIEWED, telling

HERE = Path(__file__).resolve().parent
NOW = datetime.fromisoformat("2026-12-01T09:00:00")
RECORD_ID = "019a0000-0000-7000-8000-000000000001"
LANGUAGES: dict[str, tuple[Language, ...]] = dict.fromkeys(("japan", "inquiry", "card"), (Language.EN, Language.JA))
ASKED = "example.com"
LETTER = "letter"


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


KINDS = (*BY_NAME, "inquiry", "lineage")
CASES = [
    *(
        Case(kind, level, language)
        for kind in KINDS
        for level in Level
        for language in LANGUAGES.get(kind, (Language.EN,))
    ),
    *(Case(kind, Level.REGULATOR, None) for kind in KINDS),
    *(Case(LETTER, Level.PUBLIC, language) for language in Language),
]


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
        kind, internal = _internal("inquiry" if case.kind == LETTER else case.kind, root)
        seen = report.at_level(internal, report.fields_of(kind), case.level, KEY)
        if case.language is None:
            return render.json_text(seen)
        if case.kind == LETTER:
            return render.markdown(letter.document(seen, case.language))
        if case.kind == "inquiry":
            return render.markdown(inquiry.document(seen, Words(case.language)))
        return render.markdown(report.document(kind, seen, Words(case.language)))


def _internal(name: str, root: Path) -> tuple[Kind, dict[str, Any]]:
    """A kind with the internal record of the whole log."""
    if name in BY_NAME:
        return BY_NAME[name], internal(name, root)
    return _asked(root) if name == "inquiry" else _held_against(root)


@functools.cache
def _asked(root: Path) -> tuple[Kind, dict[str, Any]]:
    """The answer to an inquiry about a site, with what is on file about it."""
    asked = inquiry.Asked(
        reference="2026-17",
        received_at=datetime.fromisoformat("2026-11-20"),
        channel="mail",
        basis="jp_p2",
        requester_ref="R-4",
        answered_by="legal department",
        eligibility=(("proceedings are being prepared", "yes", "file 3"),),
    )
    with frozen(), open_log(str(root)) as log:
        question = Question(log=log, period=Period(), subject=parse_subject(ASKED))
        return inquiry.KIND, inquiry.answer(question, asked)


@functools.cache
def _held_against(root: Path) -> tuple[Kind, dict[str, Any]]:
    """The log held against a manifest that has every second body, and an attestation that it contradicts."""
    with open_log(str(root)) as log:
        rows = log.select("SELECT DISTINCT body_sha256 FROM completion WHERE body_sha256 IS NOT NULL ORDER BY ALL")
    file = root.parent / "manifest.txt"
    file.write_text("".join(row["body_sha256"] + "\n" for row in rows[::2]) + "no digest\n", encoding="utf-8")
    said = {"sites": [ASKED], "status": "excluded", "attested_by": "Data office", "attested_at": date(2026, 11, 1)}
    declared = Declarations.model_validate({"training_use": [said]})
    brought = manifest.read(str(file), None, None)
    kind = lineage.kind(brought)
    with frozen(), open_log(str(root), also=[brought.path]) as log:
        return kind, report.record(kind, Question(log=log, period=Period(), declared=declared))


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
