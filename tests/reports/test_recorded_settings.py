"""Settings of runs as recorded, whatever a hostile log holds in their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.log import open_log
from reports.recorded_settings import configured_crawlers, listed, settings_object, settings_of
from tests import logs
from tests.reports.command import crawl_audit


def with_settings(root: Path, *settings: str) -> Path:
    for number, text in enumerate(settings):
        made = logs.LogBuilder(root, f"n-{number}")
        made.add(logs.run(at=logs.after(number), settings=text))
        made.publish()
    return root


def test_the_latest_run_that_knows_a_crawler_says_how_it_was_configured(root: Path) -> None:
    older = '{"crawlers": [{"id": "a", "purpose": "old"}, {"id": "b", "purpose": "kept"}]}'
    with open_log(str(with_settings(root, older, '{"crawlers": [{"id": "a", "purpose": "new"}]}'))) as log:
        found = configured_crawlers(log)
        assert {name: one["purpose"] for name, one in found.items()} == {"a": "new", "b": "kept"}
        assert listed(settings_of(log, "n-0") or {}, "crawlers")[0]["purpose"] == "old"
        assert settings_of(log, "n-9") is None


@pytest.mark.parametrize(
    "text", ["", "not json", "[]", "7", "null", "[" * 100_000, '{"crawlers": 7}', '{"crawlers": [7]}']
)
def test_what_is_no_settings_configures_nothing(text: str) -> None:
    assert listed(settings_object(text), "crawlers") == []


def test_an_object_where_a_text_belongs_is_refused_in_a_sentence(root: Path) -> None:
    hostile = '{"crawlers": [{"id": "alpha", "user_agent": {"secret": "inside"}}]}'
    made = logs.LogBuilder(root)
    made.add(logs.run(settings=hostile))
    made.add(logs.decision("example.com"))
    made.publish()
    ran = crawl_audit("report", "activity", root, "--level", "public", "--format", "json")
    assert "inside" not in ran.out + ran.err
    assert "Traceback" not in ran.err
    assert ran.err.count("\n") <= 1
