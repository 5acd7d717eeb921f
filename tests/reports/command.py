"""Run ``crawl-audit`` inside the test process: exit code, output, errors."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any, NamedTuple

import pytest

from reports.cli import main


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output as JSON."""
        return json.loads(self.out)


def crawl_audit(*arguments: object) -> Ran:
    """Run the command; a traceback fails the test by itself."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return Ran(ended.value.code, out.getvalue(), err.getvalue())


def refused(*arguments: object, code: int) -> str:
    """The one sentence on standard error of a command that must end with ``code`` and show nothing."""
    ran = crawl_audit(*arguments)
    assert (ran.code, ran.out) == (code, ""), ran
    assert ran.err.startswith("crawl-audit: ")
    assert ran.err.count("\n") == 1
    return ran.err
