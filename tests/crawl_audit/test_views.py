"""The views: names, columns and joins that other people's SQL relies on."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from crawl_audit import schema, views
from crawl_audit.errors import LogFormatError
from crawl_audit.records import Action, Mode
from crawl_audit.target import Scope, Target
from tests import logs

DISALLOWED = "/private/x"
# The contract of the design: order and names of what auditors use most.
DECISION = (
    "log seq recorded_at exchange_id trace_id crawler product_token client user_agent token_in_user_agent method scheme"
    " host port target url target_b64 site snapshot_seq robots_sha256 robots_age_ms verdict basis group_tokens rule"
    " rule_line protego_verdict divergent parser mode action exemption detail crawl_delay_ms"
    " request_interval_ms since_previous_ms held_ms"
).split()
EXCHANGE = (
    "completed_at outcome error status request_bytes response_bytes content_type modality body_sha256 duration_ms"
    " server_ip http_version barrier"
).split()


def opened(root: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for statement in views.create_views(str(root / "segments")):
        connection.execute(statement)
    return connection


def test_every_view_has_the_columns_that_its_documentation_lists(tmp_path: Path) -> None:
    logs.LogBuilder(tmp_path)
    with opened(tmp_path) as connection:
        for view in views.documentation():
            found = connection.execute(f"DESCRIBE {view.name}").fetchall()
            assert [(row[0], row[1]) for row in found] == [(column.name, column.sql_type) for column in view.columns]
            assert connection.execute(f"SELECT * FROM {view.name}").fetchall() == []
            assert all(column.meaning for column in view.columns)


def test_decision_and_exchange_keep_the_promised_order_of_columns() -> None:
    shown = {view.name: [column.name for column in view.columns] for view in views.documentation()}
    assert shown["decision"] == DECISION
    assert shown["exchange"] == shown["violation"] == DECISION + EXCHANGE
    assert shown["site"] == "site requests forwarded denied violations first_at last_at response_bytes hosts".split()
    assert set(shown) == {*schema.KINDS, "exchange", "violation", "site"}


def test_salt_and_version_are_reachable_only_as_stored(tmp_path: Path) -> None:
    made = logs.LogBuilder(tmp_path)
    made.add(logs.decision("example.com"))
    made.publish()
    with opened(tmp_path) as connection:
        found = connection.execute(views.stored_select("decision", str(tmp_path / "segments")))
        assert [column[0] for column in found.description] == [name for name, _ in schema.stored_columns("decision")]
        row = dict(zip([column[0] for column in found.description], found.fetchall()[0], strict=True))
    assert (row["v"], row["salt"]) == (schema.VERSION, logs.SALT.hex())


@pytest.mark.parametrize(
    ("scheme", "host", "port"),
    [
        ("http", "example.com", 80),
        ("https", "example.com", 443),
        ("https", "example.com", 80),
        ("http", "127.0.0.1", 9001),
        ("https", "2001:db8::1", 443),
        ("http", "2001:db8::1", 8080),
    ],
)
def test_url_is_the_url_of_the_target(tmp_path: Path, scheme: str, host: str, port: int) -> None:
    made = logs.LogBuilder(tmp_path)
    made.add(logs.decision(host, "/a?b=%C3%A9", scheme=scheme, port=port))
    made.publish()
    with opened(tmp_path) as connection:
        (url,) = connection.execute("SELECT url FROM decision").fetchall()[0]
    assert url == Target(Scope(scheme, host, port), "/a?b=%C3%A9", None).url


def test_a_violation_is_disallowed_and_forwarded(tmp_path: Path) -> None:
    made = logs.LogBuilder(tmp_path)
    body = logs.ROBOTS
    made.add(logs.decision("example.com", "/", body=body))
    violation = made.add(logs.decision("example.com", DISALLOWED, logs.after(1), body=body))
    denied = {"mode": Mode.ENFORCE, "action": Action.DENIED}
    made.add(logs.decision("example.com", DISALLOWED, logs.after(2), body=body, **denied))
    made.add(logs.completion(violation, logs.after(3), status=418))
    made.publish()
    with opened(tmp_path) as connection:
        assert connection.execute("SELECT seq, status FROM violation").fetchall() == [(violation, 418)]
        assert connection.execute("SELECT count(*), count(outcome) FROM exchange").fetchall() == [(3, 1)]
        found = connection.execute("SELECT site, requests, forwarded, denied, violations, hosts FROM site").fetchall()
    assert found == [("example.com", 3, 2, 1, 1, 1)]


def test_completions_join_only_the_decision_of_their_own_log(tmp_path: Path) -> None:
    one, two = logs.LogBuilder(tmp_path, "n-1"), logs.LogBuilder(tmp_path, "n-2")
    one.add(logs.decision("one.example"))
    two.add(logs.decision("two.example"))
    two.add(logs.completion(0, status=204))
    one.publish()
    two.publish()
    with opened(tmp_path) as connection:
        found = connection.execute("SELECT host, status FROM exchange ORDER BY host").fetchall()
    assert found == [("one.example", None), ("two.example", 204)]


@pytest.mark.parametrize(
    "name", ["it's", "br[a]cket", "st*r", "wh?t", "{a,b}", "a=b", "日本 語", "a[!b]", "'); DROP--"]
)
def test_any_directory_name_is_read_as_itself(tmp_path: Path, name: str) -> None:
    made = logs.LogBuilder(tmp_path / name)
    made.add(logs.decision("example.com"))
    made.publish()
    neighbour = logs.LogBuilder(tmp_path / "brac[k]et*")  # what a careless glob would read too
    neighbour.add(logs.decision("other.example"))
    neighbour.publish()
    with opened(tmp_path / name) as connection:
        assert connection.execute("SELECT host FROM decision").fetchall() == [("example.com",)]


@pytest.mark.parametrize("path", ["relative/segments", "/with\\backslash", "/with\nnewline"])
def test_a_path_no_view_can_name_is_refused(path: str) -> None:
    with pytest.raises(LogFormatError, match="log directory"):
        views.create_views(path)
