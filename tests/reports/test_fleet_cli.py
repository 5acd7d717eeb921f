"""The commands of ``crawl-audit fleet`` as people type them: help, errors in one sentence, text on the screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reports import fleets
from tests.reports.command import crawl_audit, refused
from tests.reports.fleets import Fleet, running


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet.made(tmp_path_factory.mktemp("fleet"), 2)


def test_the_group_says_what_it_is_for() -> None:
    done = crawl_audit("fleet", "--help")
    assert done.code == 0
    assert "Many sidecars" in done.out


@pytest.mark.parametrize("name", ["enrol", "collect", "verify"])
def test_every_command_has_an_example(name: str) -> None:
    done = crawl_audit("fleet", name, "--help")
    assert done.code == 0
    assert f"crawl-audit fleet {name} ./fleet" in done.out


def test_enrolling_names_the_sidecars_the_key_and_the_head(tmp_path: Path) -> None:
    running(tmp_path / "logs", "a")
    made = crawl_audit("fleet", "enrol", tmp_path / "f", "b", "--from", tmp_path / "logs", "--name", "x.example/f")
    assert made.code == 0
    assert made.out.startswith("2 sidecars enrolled: b, a.\nThe fleet's key is x.example/f+")
    assert (tmp_path / "f.key").stat().st_mode & 0o777 == 0o600
    again = crawl_audit("fleet", "enrol", tmp_path / "f", "a")
    assert again.out.startswith("Nothing to do")
    assert made.out.endswith(again.out.partition("\n\n")[2])  # no record was added


def test_a_round_is_shown_with_whoever_is_not_as_it_should_be_and_its_head(fleet: Fleet, tmp_path: Path) -> None:
    other = fleet.copy(tmp_path / "fleet")
    other.enrol("awaited")
    shown = crawl_audit("fleet", "collect", other.path, other.sources)
    assert shown.code == 0
    assert "1 never_seen, 2 open" in shown.out
    assert "no log of it was ever found" in shown.out
    assert shown.out.endswith(other.checkpoint.read_text())


def test_a_verification_is_shown_with_its_limits(fleet: Fleet) -> None:
    shown = crawl_audit("fleet", "verify", fleet.path, fleet.sources, "--trust", fleet.directory / "vkey")
    assert shown.code == 3
    assert "INCOMPLETE: nothing contradicts" in shown.out
    assert "2, of which 2 verified to their head" in shown.out
    assert "What this does not show" in shown.out
    assert max(len(line) for line in shown.out.splitlines()) < 200


@pytest.mark.parametrize(
    "arguments,code,said",
    [
        (("enrol", "FLEET"), 2, "Say which sidecars"),
        (("enrol", "FLEET", "a", "--log-key", "nonsense"), 2, "--log-key"),
        (("enrol", "FLEET", "stranger", "--retire"), 2, "is not enrolled"),
        (("enrol", "FLEET", "--from", "/nonexistent"), 2, "There is no"),
        (("enrol", "FLEET", "a", "--key", "/nonexistent"), 78, "There is no key"),
        (("collect", "FLEET", "SOURCES", "--key", "/nonexistent", "--tsa", "x"), 78, "There is no key"),
        (("collect", "FLEET", "SOURCES", "--tsa", "ftp://x", "--tsa-ca", "/nonexistent"), 2, "cannot be read"),
        (("verify", "SOURCES"), 2, "holds no fleet log"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(fleet: Fleet, arguments: tuple[str, ...], code: int, said: str) -> None:
    places = {"FLEET": str(fleet.path), "SOURCES": str(fleet.sources)}
    assert said in refused("fleet", *(places.get(one, one) for one in arguments), code=code)


def test_nobody_enrolled_is_one_sentence_and_leaves_no_fleet_log(tmp_path: Path) -> None:
    running(tmp_path / "logs", "a")
    crawl_audit("fleet", "enrol", tmp_path / "other", "a", "--name", fleets.NAME)
    said = refused("fleet", "collect", tmp_path / "f", tmp_path / "logs", "--key", tmp_path / "other.key", code=78)
    assert "Nobody is enrolled" in said
    assert not (tmp_path / "f").exists()
