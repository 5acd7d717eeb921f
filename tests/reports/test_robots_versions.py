"""Copies of a robots.txt put together into versions, and how two files differ."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reports.in_force import SECOND, Allowances
from reports.robots_versions import difference, versions

NONE = Allowances(last_good_us=0, lag_us=9 * SECOND, pace_lag_us=20 * SECOND)
KEPT = NONE._replace(last_good_us=86_400 * SECOND)
START = datetime.fromisoformat("2026-11-18T11:00:00")


def row(seq: int, minute: float, digest: str | None = "a", log: str = "one", **changes: Any) -> dict[str, Any]:
    """A snapshot of that minute that holds for an hour; without digest unreachable."""
    at = START + timedelta(minutes=minute)
    return {
        "log": log,
        "scheme": "https",
        "host": "example.com",
        "port": 443,
        "seq": seq,
        "recorded_at": at,
        "source": "fetched",
        "outcome": "unreachable" if digest is None else "successful",
        "valid_until": at + timedelta(minutes=60),
        "fetch_ms": 5,
        "status": 503 if digest is None else 200,
        "error": None,
        "robots_sha256": digest,
        "fetched_at": None,
        **changes,
    }


def told(rows: list[dict[str, Any]], granted: Allowances = NONE) -> list[tuple[Any, ...]]:
    """(digest, copies, from, to, in force until) of each version, in minutes."""

    def minute(at: datetime | None) -> float | None:
        return None if at is None else (at - START) / timedelta(minutes=1)

    found = versions(rows, {}, granted)
    return [
        (one.digest, one.fetches, minute(one.first["recorded_at"]), minute(one.until), minute(one.in_force_until))
        for one in found
    ]


def test_the_same_file_fetched_again_is_one_version() -> None:
    assert told([row(1, 0), row(2, 50, status=304), row(3, 100, "b")]) == [
        ("a", 2, 0, 100, 100),
        ("b", 1, 100, None, 160),
    ]


def test_a_file_that_comes_back_is_a_version_of_its_own() -> None:
    assert [one[0] for one in told([row(1, 0), row(2, 50, "b"), row(3, 100)])] == ["a", "b", "a"]


def test_two_sidecars_that_see_the_same_make_one_version() -> None:
    found = told([row(1, 0), row(2, 55, "b"), row(1, 10, log="two"), row(2, 65, "b", log="two")])
    assert found == [("a", 2, 0, 55, 65), ("b", 2, 55, None, 125)]


def test_the_last_good_copy_stays_in_force_while_the_file_is_unreachable() -> None:
    assert told([row(1, 0), row(2, 50, None)], KEPT) == [("a", 1, 0, 50, 110), (None, 1, 50, None, 110)]


def test_what_a_crawler_saw_beside_a_valid_copy_never_came_into_force() -> None:
    found = told([row(1, 0), row(2, 10, "b", source="observed"), row(3, 50)])
    assert found == [("a", 2, 0, None, 110), ("b", 1, 10, None, None)]


def test_a_difference_names_lines_as_diff_does() -> None:
    found = difference(b"a\nb\nc\nd\n", b"a\nX\nc\nd\ne\n", lines_max=40)
    assert found is not None
    assert found.diff == ["@@ -2,1 +2,1 @@", "-b", "+X", "@@ -4,0 +5,1 @@", "+e"]
    assert (found.added, found.removed) == (2, 1)


def test_files_that_would_take_too_long_are_not_compared() -> None:
    assert difference(b"x\n" + b"a\n" * 2000 + b"y\n", b"u\n" + b"a\n" * 3000 + b"v\n", lines_max=40) is None


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_a_difference_leads_from_one_file_to_the_other(old: list[str], new: list[str]) -> None:
    found = difference("\n".join(old).encode(), "\n".join(new).encode(), lines_max=99)
    assert found is not None
    assert len(old) - found.removed + found.added == len(new)
    assert sum(line.startswith("+") for line in found.diff) == found.added
    assert (found.added == found.removed == 0) == (old == new)
