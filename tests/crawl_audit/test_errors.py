"""Every error we raise on purpose is caught as one, and carries what callers act on."""

from __future__ import annotations

import inspect

import pytest

from crawl_audit import errors


def error_classes() -> list[type]:
    return [cls for _, cls in inspect.getmembers(errors, inspect.isclass)]


def test_one_root_catches_them_all() -> None:
    assert len(error_classes()) >= 5
    assert [cls for cls in error_classes() if not issubclass(cls, errors.CrawlAuditError)] == []
    assert not issubclass(errors.CrawlAuditError, (OSError, ValueError))


@pytest.mark.parametrize("cls", error_classes())
def test_an_error_shows_its_sentence(cls: type[Exception]) -> None:
    assert str(cls("The disk is full; free some space.")) == "The disk is full; free some space."


def test_an_unavailable_log_says_why_in_a_word() -> None:
    assert errors.LogUnavailable("x").reason == "audit_log_unavailable"
    assert errors.LogUnavailable("x", reason="audit_backpressure").reason == "audit_backpressure"
