"""What every record carries, for people: nothing blank, and an EU representative asked of whom it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports import declarations
from tests import logs
from tests.reports.command import crawl_audit

ASKED = "operator.eu_representative"


def told(root: Path, operator: Path, country: str | None) -> tuple[bool, str]:
    """Whether the representative is named as not supplied, and what people read of it."""
    operator.write_text("[operator]\n" + (f'country = "{country}"\n' if country else ""), encoding="utf-8")
    answer = crawl_audit("report", "coverage", root, "--operator", operator, "--format", "json").json
    text = crawl_audit("report", "coverage", root, "--operator", operator).out
    (line,) = (one for one in text.splitlines() if one.startswith("EU representative"))
    return ASKED in {one["field"] for one in answer["withheld"]}, line.removeprefix("EU representative").strip()


@pytest.mark.parametrize(
    ("country", "missing", "said"),
    [
        ("JP", True, "withheld: not supplied"),
        ("US", True, "withheld: not supplied"),
        ("GB", True, "withheld: not supplied"),
        ("CH", True, "withheld: not supplied"),
        ("DE", False, "not applicable"),
        ("GR", False, "not applicable"),
        ("NO", False, "not applicable"),
        (None, False, "not stated"),
    ],
)
def test_a_representative_is_asked_of_operators_outside_the_european_economic_area(
    mixed: logs.LogBuilder, tmp_path: Path, country: str | None, missing: bool, said: str
) -> None:
    assert told(mixed.root, tmp_path / "operator.toml", country) == (missing, said)


def test_an_operator_in_the_union_can_be_strict_without_one(mixed: logs.LogBuilder, tmp_path: Path) -> None:
    operator = tmp_path / "operator.toml"
    who = '[operator]\nlegal_name = "x"\ncountry = "%s"\ncontact = "y"\n'
    lines = who + '[egress_control]\nforced = true\nstatement = "z"\n'
    for country, code in (("FR", 0), ("JP", 3)):
        operator.write_text(lines % country, encoding="utf-8")
        assert declarations.read(str(operator)).operator.country == country
        assert crawl_audit("report", "coverage", mixed.root, "--operator", operator, "--strict").code == code
