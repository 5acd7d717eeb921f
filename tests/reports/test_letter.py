"""The answer letter: both languages say the same, with nothing exact in it that a requester may not have."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from reports import letter
from reports.kinds.inquiry_record import BASES, RESULTS, TRAINING_USE
from reports.words import Language
from tests import logs
from tests.reports.command import Ran, crawl_audit

OPERATOR = """[operator]
legal_name = "Example K.K."
contact = "crawler@example.com"
[[training_use]]
sites = ["example.co.uk"]
status = "excluded"
attested_by = "Head of Data"
attested_at = 2026-11-02
reference = "policy 4"
[[japan.item]]
principle = "3"
key = "infeasibility_explanation"
text = { en = "Models keep no copies.", ja = "モデルは写しを保持しません。" }
"""


@pytest.fixture
def operator(tmp_path: Path) -> Path:
    file = tmp_path / "operator.toml"
    file.write_text(OPERATOR, encoding="utf-8")
    return file


def written(root: Path, subject: str, *more: object) -> Ran:
    return crawl_audit("inquiry", root, subject, "--letter", *more)


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_texts_with_the_same_places() -> None:
    english, japanese = letter.texts(Language.EN), letter.texts(Language.JA)
    assert list(english) == list(japanese)
    used = [key for key in english if english[key] and japanese[key]]
    assert [key for key in used if fields(english[key]) != fields(japanese[key])] == []
    assert len(used) >= len(english) - 3
    assert all(text.isascii() for text in english.values())
    same = {key for key in english if english[key] == japanese[key]}
    assert same == set()


def test_every_result_status_and_basis_has_its_sentence() -> None:
    said = letter.texts(Language.EN)
    assert set(RESULTS) | set(TRAINING_USE) <= set(said)
    assert {f"opening_{basis}" for basis in BASES if basis != "other"} <= set(said)


@pytest.mark.parametrize("language", list(Language))
def test_nothing_in_it_is_a_legal_conclusion_or_says_that_something_was_trained_on(language: Language) -> None:
    everything = " ".join(letter.texts(language).values()).lower()
    for word in ("compliant", "lawful", "certif", "trained on", "infring", "適法", "合法", "認証", "違法"):
        assert word not in everything


def test_a_letter_in_english(mixed: logs.LogBuilder, operator: Path) -> None:
    options = ("--operator", operator, "--reference", "2026-17", "--received", "2026-11-18", "--basis", "cop_1_5")
    ran = written(mixed.root, "example.com", *options)
    assert ran.code == 0
    lines = ran.out.splitlines()
    for line in (
        "Answer to your inquiry about web crawling",
        "Dear Sir or Madam,",
        "Yours faithfully,",
        "Our records contain requests to example.com that were sent to the site.",
    ):
        assert line in lines
    text = re.sub(" +", " ", ran.out)
    for said in (
        "Our reference 2026-17",
        "Your inquiry of 18 November 2026",
        "From Example K.K.",
        "Requests sent to the site between 100 and 999",
        "First request November 2026",
        "Covered by the records November 2026\n",
        "alpha (AlphaBot)",
        "Content-Signal: ai-train=no",
        "we can neither confirm nor rule it out here",
        "please write to crawler@example.com and give the reference above",
        "Measure 1.5",
    ):
        assert said in text


def test_a_letter_in_japanese(mixed: logs.LogBuilder, operator: Path) -> None:
    options = ("--operator", operator, "--reference", "2026-17", "--basis", "jp_p3", "--lang", "ja")
    out = re.sub(" +", " ", written(mixed.root, "shop.example.co.uk", *options).out)
    order = [
        "整理番号",
        "拝啓",
        "原則3",
        "敬具",
        "\n記\n",
        "調査の範囲",
        "調査の結果",
        "学習データに含まれていない",
        "以上",
    ]
    places = [out.rindex(said) if said == "以上" else out.index(said) for said in order]
    assert places == sorted(places)
    for said in ("表明者：Head of Data（2026年11月2日）、参照：policy 4", "モデルは写しを保持しません。", "10～99"):
        assert said in out
    assert re.search("(?m)^[A-Z][a-z]+ [a-z]+ [a-z]+", out) is None


def test_each_result_is_a_letter(mixed: logs.LogBuilder, root: Path) -> None:
    denied = logs.LogBuilder(root)
    denied.add(logs.run())
    denied.add(logs.decision("example.com", "/private/x", body=logs.ROBOTS, action="denied", mode="enforce"))
    denied.publish()
    for subject, where, sentence in (
        ("nobody.example", mixed.root, "contain no request to nobody.example in the time they cover"),
        ("example.com", denied.root, "our proxy denied all of them"),
        ("http://example.com/private/x", denied.root, "Requests to the same host, any address"),
    ):
        assert sentence in written(where, subject).out
    assert "do not allow us to say" in written(mixed.root, "nobody.example", "--to", "2026-11-01").out


def test_without_an_operator_file_the_places_are_marked(mixed: logs.LogBuilder) -> None:
    out = written(mixed.root, "example.com").out
    assert "[name of the operator not supplied]" in out
    assert "[contact not supplied]" in out


def test_at_the_internal_level_it_is_exact(mixed: logs.LogBuilder) -> None:
    out = re.sub(" +", " ", written(mixed.root, "example.com", "--level", "internal").out)
    assert "Requests sent to the site 112" in out
    assert "First request 18 November 2026, 11:06:45 UTC" in out


def test_long_tables_say_how_many_there_are(mixed: logs.LogBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letter, "ROWS_MAX", 1)
    assert "The list shows 1 of 2." in written(mixed.root, "example.com").out


@pytest.mark.parametrize("form", ["md", "html"])
def test_what_strangers_wrote_is_harmless_in_it(root: Path, form: str) -> None:
    made = logs.LogBuilder(root)
    copy = made.add(logs.snapshot("example.com", logs.ROBOTS))
    one = logs.decision("example.com", "/<script>alert(1)</script>", body=logs.ROBOTS, snapshot_seq=copy)
    made.add(one)
    made.add(
        logs.records.Signal(
            recorded_at=logs.after(1),
            exchange_id=one.exchange_id,
            snapshot_seq=None,
            protocol="x-robots-tag",
            raw="<img src=x onerror=alert(1)> {subject} \u202e",
            value=None,
            scope=None,
        )
    )
    made.publish()
    out = written(root, "http://example.com/<script>alert(1)</script>", "--format", form).out
    assert "<script>alert" not in out
    assert "<img" not in out
    assert "\u202e" not in out
    assert "{subject}" in out


def test_numbers_and_moments_are_written_as_each_language_writes_them() -> None:
    english, japanese = letter.texts(Language.EN), letter.texts(Language.JA)
    assert letter.number(0, english) == "none"
    assert letter.number(1234567, english) == "1,234,567"
    assert letter.number("1000-9999", japanese) == "1,000～9,999"
    assert letter.moment("01/2027", Language.EN) == "January 2027"
    assert letter.moment("12/2026", Language.JA) == "2026年12月"
    assert letter.moment("2026-11-20", Language.EN) == "20 November 2026"
    assert letter.moment("2026-11-20T09:08:07Z", Language.JA) == "2026年11月20日 09:08:07 UTC"
    assert letter.moment(None, Language.EN) == ""
