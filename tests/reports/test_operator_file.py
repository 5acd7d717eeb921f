"""The operator file to fill in: it has every key there is, holds what a log knows, and never replaces another."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.records import Instant
from reports import declarations
from reports.declarations import Declarations, keys
from reports.operator_file import template
from tests import logs
from tests.reports.command import crawl_audit, refused
from tests.reports.operator_files import everything


def tables_of(content: Any, place: tuple[str, ...] = ()) -> dict[tuple[str, ...], set[str]]:
    """Every table in a TOML document (names from the top, without numbers) with the keys it has."""
    if isinstance(content, list):
        made: dict[tuple[str, ...], set[str]] = {}
        for one in content:
            for table, names in tables_of(one, place).items():
                made[table] = made.get(table, set()) | names
        return made
    if not isinstance(content, dict):
        return {}
    made = {place: set(content)}
    for name, inner in content.items():
        made |= tables_of(inner, (*place, name))
    return made


def test_every_key_there_is_stands_in_the_template() -> None:
    found = tables_of(tomllib.loads(everything()))
    assert {table: set(names) for table, names in keys().items()} == {table: found[table] for table in keys()}


def test_the_template_is_valid_as_it_is_and_with_every_key_in_use(tmp_path: Path) -> None:
    file = tmp_path / "operator.toml"
    file.write_text(template(), encoding="utf-8")
    assert declarations.read(str(file)) == Declarations()
    file.write_text(everything(), encoding="utf-8")
    assert declarations.read(str(file)).operator.legal_name == "Example Labs K.K."


def test_each_key_can_be_put_to_use_alone(tmp_path: Path) -> None:
    lines = template().splitlines(keepends=True)
    inside = ("#[[", "#id", "#sites", "#status", "#attested", "#principle =", "#key =")
    optional = [
        n for n, line in enumerate(lines) if line[:1] == "#" and line[1:2].strip() and not line.startswith(inside)
    ]
    assert len(optional) > 70
    file = tmp_path / "operator.toml"
    needed = [line[1:] if line.startswith(inside) else line for line in lines]
    for number in optional:
        file.write_text("".join([*needed[:number], lines[number][1:], *needed[number + 1 :]]), encoding="utf-8")
        assert declarations.read(str(file)) != Declarations()


def test_the_rules_that_ask_are_named() -> None:
    text = template()
    for rule in (*(f"EU 2.3 {letter}" for letter in "abcdefhi"), "EU 1.1", "EU 3.1", "JP P1", "JP P2", "CoP 1.1"):
        assert rule in text
    assert all(measure in text for measure in ("CoP 1.2", "CoP 1.3", "CoP 1.5"))


def test_the_crawlers_of_a_log_are_put_in_with_what_was_seen_of_them(mixed: logs.LogBuilder, tmp_path: Path) -> None:
    file = tmp_path / "operator.toml"
    ran = crawl_audit("report", "init", mixed.root, "-o", file)
    assert (ran.code, ran.err) == (0, "")
    assert str(file) in ran.out
    text = file.read_text(encoding="utf-8")
    assert [one["id"] for one in tomllib.loads(text)["crawler"]] == ["alpha", "pair"]
    alpha, pair = text.split("[[crawler]]\n")[1:]
    decided = [record for record in mixed.records if getattr(record, "crawler", None) == "alpha"]
    assert f"#   requests: {len(decided)}\n" in alpha
    assert "#   product tokens: AlphaBot\n" in alpha
    assert "#   User-Agent seen: curl/8\n" in alpha
    assert "#   purpose in the sidecar's settings: search\n" in alpha
    assert "#   product tokens: AlphaBot, BetaBot\n" in pair
    assert declarations.read(str(file)).of_crawler("pair").id == "pair"


def test_what_strangers_wrote_stays_a_comment(root: Path, tmp_path: Path) -> None:
    built = logs.LogBuilder(root)
    built.add(logs.run())
    hostile = 'x [operator]\u2028legal_name = "evil"\u202e'
    many = [("many", f"agent {number}") for number in range(9)]
    for crawler, agent in (("a]\u2028id = 'b'", "plain"), ("fine", hostile), *many):
        decided = logs.decision("example.com", "/", logs.after(1))
        built.add(replace(decided, crawler=crawler, user_agent=agent))
    built.publish(Instant(logs.after(5)))
    file = tmp_path / "operator.toml"
    assert crawl_audit("report", "init", root, "-o", file).code == 0
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    assert content["operator"] == {}
    assert [one["id"] for one in content["crawler"]] == ["alpha", "fine", "many"]
    text = file.read_text(encoding="utf-8")
    assert "and 4 other User-Agents" in text
    assert "#   no request of it\n" in text  # alpha is configured only
    assert "# A crawler that cannot be declared, because its id is none: a]" in text
    assert not {"\u202e", "\u2028"} & set(text)


def test_an_existing_file_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert crawl_audit("report", "init").code == 0
    (tmp_path / "operator.toml").write_text("mine")
    assert "exists and is left as it is" in refused("report", "init", code=78)
    assert (tmp_path / "operator.toml").read_text() == "mine"


def test_a_file_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    assert "cannot be written" in refused("report", "init", "-o", tmp_path / "no" / "x.toml", code=78)
    assert "no directory" in refused("report", "init", tmp_path / "no", "-o", tmp_path / "x.toml", code=2)
