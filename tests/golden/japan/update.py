"""Rewrites the golden Japanese statement from today's code: ``python -m tests.golden.japan.update``; look at it.

The digests of the attached records stand still: they are other reports' affair, and tested to be right elsewhere.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from reports import declarations, render, report
from reports.kinds import japan
from reports.levels import Level
from reports.log import open_log
from reports.period import Period
from reports.report import Kind, Question
from reports.words import Language, Words
from tests.golden.reports.update import frozen, small_log

HERE = Path(__file__).resolve().parent


def attached(kind: Kind, _: Question) -> dict[str, Any]:
    """A record of that kind, whatever is in it."""
    digests = {"public_sha256": "0" * 64, "internal_sha256": "1" * 64}
    return {"record_type": kind.record.name, "kind": kind.name, **digests}


def statements(root: Path) -> dict[str, str]:
    """File name → the public statement of the small log in each language, and its table."""
    declared = declarations.read(str(HERE / "operator.toml"))
    with frozen(), mock.patch.object(japan, "_attached", attached), open_log(str(root)) as log:
        internal = report.record(japan.KIND, Question(log=log, period=Period(), declared=declared))
        shown = report.at_level(internal, report.fields_of(japan.KIND), Level.PUBLIC)
        made = {
            f"public.{language}.md": render.markdown(report.document(japan.KIND, shown, Words(language)))
            for language in Language
        }
    return {**made, "public.csv": render.csv_text(japan.KIND.table(shown))}


def main() -> None:
    """Write every file anew."""
    with tempfile.TemporaryDirectory() as directory:
        for name, text in statements(small_log(Path(directory))).items():
            (HERE / name).write_text(text, encoding="utf-8", newline="")


if __name__ == "__main__":
    main()
