"""What every test runs under: a reproducible hypothesis, and no test that silently does not run."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from typing import Any

import hypothesis
import pytest

# A test machine may be slow for a moment, so no deadline per example.  In continuous integration the examples are the
# same in every run: a failure there belongs to the change that is tested.  At a desk they are new every time.
hypothesis.settings.register_profile("desk", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "desk")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell starts what it puts into the background with SIGINT ignored, and children take that over."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


ALLOWED_SKIP = "platform:"
"""How the reason of a skip must begin: the only good one is a platform that cannot run the test."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped test is a failed one, unless its platform is the reason."""
    report = yield
    return _no_silent_skip(report, item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for whole modules (``importorskip``, ``skip(allow_module_level=True)``)."""
    report = yield
    return _no_silent_skip(report, collector.nodeid)


def _no_silent_skip(report: Any, nodeid: str) -> Any:
    if report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return report
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if reason.removeprefix("Skipped: ").startswith(ALLOWED_SKIP):
        return report
    report.outcome = "failed"
    report.longrepr = f"{nodeid} was skipped ({reason}); a test must run, or its reason begin with '{ALLOWED_SKIP}'"
    return report
