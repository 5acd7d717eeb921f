"""`crawl-audit inquiry`: its options, what it refuses, and the legal hold it places."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports import inquiry_cli
from reports.kinds.inquiry_record import BASES, RESULTS
from tests import logs
from tests.reports.command import crawl_audit, refused


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--hold",), "--hold needs --reason TEXT and --by NAME"),
        (("--hold", "--reason", "r"), "--hold needs --reason TEXT and --by NAME"),
        (("--hold", "--by", "b"), "--hold needs --reason TEXT and --by NAME"),
        (("--reason", "r"), "--reason is that of a legal hold"),
        (("--letter", "--format", "csv"), "A letter has no form csv"),
        (("--letter", "--format", "json"), "A letter has no form json"),
        (("--received", "soon"), "is not a day"),
        (("--received", "2999-01-01"), "is in the future"),
        (("--eligibility", "maybe"), "is not understood"),
        (("--basis", "law"), "Invalid value for '--basis'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    mixed: logs.LogBuilder, options: tuple[str, ...], said: str
) -> None:
    assert said in refused("inquiry", mixed.root, "example.com", *options, code=2)


def test_a_hold_is_in_force_before_the_answer_and_named_in_it(root: Path) -> None:
    logs.sound(root)
    ran = crawl_audit(
        "inquiry",
        root,
        "example.com",
        "--to",
        "2026-11-30",
        "--hold",
        "--reason",
        "inquiry 2026-17",
        "--by",
        "legal",
        "--format",
        "json",
    )
    assert ran.code == 0
    name = ran.json["legal_hold"]
    (held,) = crawl_audit("hold", "list", root, "--format", "json").json["holds"]
    assert (held["id"], held["scope"]) == (name, "example.com to 2026-12-01T00:00:00Z")
    assert (held["reason"], held["by"]) == ("inquiry 2026-17", "legal")
    said = refused(
        "redact", root, "--domain", "example.com", "--field", "target", "--reason", "r", "--by", "b", "--yes", code=2
    )
    assert name in said


def test_a_hold_on_everything_is_not_placed_by_an_inquiry(mixed: logs.LogBuilder) -> None:
    said = refused("inquiry", mixed.root, "all", "--hold", "--reason", "r", "--by", "b", code=2)
    assert "hold place LOG all" in said


def test_strict_ends_with_three_where_the_operator_file_leaves_something_out(
    mixed: logs.LogBuilder, tmp_path: Path
) -> None:
    assert crawl_audit("inquiry", mixed.root, "example.com", "--strict").code == 3
    whole = tmp_path / "operator.toml"
    whole.write_text(
        '[operator]\nlegal_name = "Example K.K."\ncountry = "JP"\ncontact = "c@example.com"\n'
        'eu_representative = "Example EU"\n[egress_control]\nforced = true\nstatement = "A firewall."\n'
        '[[training_use]]\nsites = ["*"]\nstatus = "excluded"\nattested_by = "Data"\nattested_at = 2026-11-02\n'
    )
    assert crawl_audit("inquiry", mixed.root, "example.com", "--strict", "--operator", whole).code == 0


def test_the_exit_code_says_the_result(mixed: logs.LogBuilder) -> None:
    assert set(inquiry_cli.EXIT_CODES) == set(RESULTS)
    assert [one.value for one in inquiry_cli.Basis] == list(BASES)
    assert crawl_audit("inquiry", mixed.root, "example.com").code == 0
    assert crawl_audit("inquiry", mixed.root, "nobody.example").code == 1
    assert crawl_audit("inquiry", mixed.root, "example.com", "--to", "2026-11-01").code == 3


def test_every_form_is_written_to_a_file(mixed: logs.LogBuilder, tmp_path: Path) -> None:
    for form in ("text", "json", "csv", "md", "html"):
        out = tmp_path / f"answer.{form}"
        ran = crawl_audit("inquiry", mixed.root, "example.com", "--format", form, "--lang", "ja", "-o", out)
        assert (ran.code, ran.out) == (0, "")
        assert "example.com" in out.read_text(encoding="utf-8")


def test_csv_is_one_row_that_says_the_numbers(mixed: logs.LogBuilder) -> None:
    ran = crawl_audit("inquiry", mixed.root, "example.com", "--format", "csv")
    header, row = ran.out.splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["result"] == "requests_found"
    assert '"disclaimers"' in ran.err
