"""The operator file: what it may hold, that what is wrong in it is said in a sentence, and that its word is shown."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.errors import ConfigurationError
from reports import declaration_errors, declarations, declared_values
from reports.declarations import FILE_MAX, Declarations, keys
from reports.report_cli import INCOMPLETE
from tests import logs
from tests.reports.command import crawl_audit, refused
from tests.reports.operator_files import everything

CRAWLER = '[[crawler]]\nid = "a"\n'
ATTESTED = 'status = "included"\nattested_by = "x"\nattested_at = 2026-01-01\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "operator.toml"


def read(file: Path, content: str) -> Declarations:
    file.write_text(content, encoding="utf-8")
    return declarations.read(str(file))


def said_of(file: Path, content: str) -> str:
    """What is said of a file that is refused: one sentence that begins with its name."""
    with pytest.raises(ConfigurationError) as caught:
        read(file, content)
    text = str(caught.value)
    assert text.startswith(f"The operator file {file}")
    assert text.endswith((".", "?"))
    assert "\n" not in text
    assert not re.search(r"pydantic|Input should|valid (string|dictionary|list)|Extra inputs", text)
    return text


def test_every_key_takes_what_a_toml_file_can_hold(file: Path) -> None:
    made = read(file, everything())
    (crawler,) = made.crawler
    assert crawler.purpose == {
        "en": "Collects public web pages to train language models.",
        "ja": "言語モデルの学習のため、公開ウェブページを収集します。",
    }
    assert (crawler.rfc9309_compliance, crawler.languages) == (True, ["ja", "en"])
    assert crawler.exclusion_lists is not None and crawler.exclusion_lists[0].version == "2026-10"
    assert crawler.earlier_period is not None and crawler.earlier_period.start == "03/2025"
    assert made.training_use[0].attested_at == date(2026, 11, 20)
    assert made.japan.form == {"1": "Example Labs K.K.", "2-1": "item:robots_txt"}
    assert (made.retention.days, made.egress_control.forced) == (1095, True)


def test_nothing_needs_to_be_said(file: Path) -> None:
    assert read(file, "") == Declarations() == declarations.read(None)
    assert read(file, "\ufeff# only a byte order mark") == Declarations()


def test_a_text_is_said_once_or_in_each_language(file: Path) -> None:
    made = read(file, CRAWLER + 'purpose = "for all"\nhow_to_block = { ja = "拒否" }\n')
    assert (made.crawler[0].purpose, made.crawler[0].how_to_block) == ({"en": "for all"}, {"ja": "拒否"})


def test_line_breaks_of_a_text_are_how_it_was_typed(file: Path) -> None:
    text = 'purpose = { en = """\nfirst line,\n  second\tline\n""", ja = """一行目、\n二行目\n"""}\n'
    assert read(file, CRAWLER + text).crawler[0].purpose == {"en": "first line, second line", "ja": "一行目、二行目"}


def test_a_crawler_that_is_not_declared_says_nothing(file: Path) -> None:
    made = read(file, CRAWLER + 'client_name = "A"\n')
    assert made.of_crawler("a").client_name == "A"
    assert made.of_crawler("../strange").client_name is None


def test_an_attestation_that_names_a_site_counts_before_one_for_all(file: Path) -> None:
    made = read(
        file,
        f'[[training_use]]\nsites = ["*"]\n{ATTESTED}[[training_use]]\nsites = ["Bücher.example", "example.co.jp"]\n'
        + ATTESTED.replace("included", "excluded"),
    )
    assert [made.training_use_of(site).status for site in ("xn--bcher-kva.example", "example.co.jp", "other.org")] == [  # type: ignore[union-attr]
        "excluded",
        "excluded",
        "included",
    ]
    assert Declarations().training_use_of("example.com") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not toml", "is not TOML: Expected '='"),
        ("[oprator]\n", ": there is nothing called oprator; did you mean [operator]?"),
        ("[training-use]\n", "did you mean [[training_use]]?"),
        ("[[zebra]]\n", "there is nothing called zebra; `crawl-audit report init` writes a file with every key"),
        ('legal_name = "x"\n', ": there is nothing called legal_name here; write it below [operator]."),
        ("[operator]\nname = 'x'\n", ": [operator]: there is no key name; did you mean legal_name?"),
        (CRAWLER + 'legal_name = "x"\n', "[[crawler]] number 1 (a): there is no key legal_name here; write it below"),
        (
            CRAWLER + '[[crawler]]\nid = "b"\ntriger = "x"\n',
            "[[crawler]] number 2 (b): there is no key triger; did you",
        ),
        (CRAWLER + 'trigger = "robot"\n', ': [[crawler]] number 1 (a), key trigger: write "crawler" or "fetcher".'),
        (
            CRAWLER + 'exclusion_lists = [{ name = "x", url = "y" }]\n',
            "key exclusion_lists, entry 1: there is no key url",
        ),
        (CRAWLER + 'exclusion_lists = [{ version = "1" }]\n', "entry 1: the key name is missing: add it."),
        (CRAWLER + 'exclusion_lists = ["x"]\n', "entry 1: write a table in braces"),
        (CRAWLER + 'from = "x"\n', "there is no key from here; write it below earlier_period in [[crawler]]."),
        ("[operator]\ncountry = 3\n", ": [operator], key country: write a text in quotes."),
        ("[operator]\ncountry = 'jp'\n", "key country: is no code of a country: write its two capital letters"),
        ("[operator]\nsme = 'no'\n", ": [operator], key sme: write true or false, without quotes."),
        ("[operator]\ncards_uri = 'https://example.com/x'\n", "let it end with a slash"),
        ("[[crawler]]\npurpose = 'x'\n", "[[crawler]] number 1: the key id is missing: add it."),
        ("[crawler]\nid = 'x'\n", "[crawler]: write [[crawler]] with two brackets, once for each."),
        ("[japan.item]\nkey = 'x'\n", "write [[japan.item]] with two brackets, once for each."),
        ("operator = 3\n", "operator is a table: write [operator] with one pair of brackets, once"),
        ("[[operator]]\n", "operator is a table: write [operator] with one pair of brackets, once"),
        ("[japan]\nform = 3\n", "japan.form is a table: write [japan.form]"),
        (
            "[japan]\nform = { a = [1] }\n",
            "key form, key a: write a text in quotes, a whole number, a day, true or false",
        ),
        ('[[crawler]]\nid = "../a"\n', "(../a), key id: is no id of a crawler: write it as the sidecar's settings do"),
        (CRAWLER + 'rfc9309_product_token = "Bot/1.0"\n', "is no product token: write letters"),
        (
            CRAWLER + 'purpose = { de = "x" }\n',
            "key purpose, key de: de is no language of the reports: write en or ja.",
        ),
        (CRAWLER + "purpose = 3\n", "key purpose: write a text in quotes, or one for each language: { en ="),
        (CRAWLER + "purpose = { en = 3 }\n", "key purpose, key en: write a text in quotes."),
        (CRAWLER + "purpose = {}\n", "key purpose: names nothing: name at least one, or leave the key out."),
        (CRAWLER + 'client_name = " "\n', "key client_name: is empty: write a text, or leave the key out."),
        (CRAWLER + 'client_name = "a\\u0007"\n', "has a character that does not show (U+0007)"),
        (CRAWLER + 'client_name = "a\\nb"\n', "has a character that does not show (U+000A)"),
        (CRAWLER + 'purpose = "a\\u0000b"\n', "has a character that does not show (U+0000)"),
        (CRAWLER + 'client_name = "a\\u202eb"\n', "has a character that does not show (U+202E)"),
        (CRAWLER + f'client_name = "{"x" * 501}"\n', "key client_name: has more than 500 characters: shorten it."),
        (CRAWLER + f"languages = [{'"x",' * 201}]\n", "key languages: has more than 200 entries: shorten it."),
        (CRAWLER + 'contacts = "x"\n', "key contacts: write a list in square brackets, for example ["),
        (CRAWLER + "contacts = []\n", "key contacts: names nothing: name at least one, or leave the key out."),
        (CRAWLER + "contacts = [1]\n", "key contacts, entry 1: write a text in quotes."),
        (CRAWLER + 'docs_uri = "example.com"\n', "key docs_uri: is no address of the web: write all of it"),
        (CRAWLER + 'docs_uri = "https://[x"\n', "key docs_uri: is no address of the web: write all of it"),
        (CRAWLER + 'earlier_period = { from = "3/25", to = "x" }\n', "key from: is no month: write it as MM/YYYY"),
        (CRAWLER + 'earlier_period = { from = "02/2025", to = "01/2025" }\n', "ends before it begins"),
        ("[retention]\ndays = '9'\n", ": [retention], key days: write a whole number, without quotes."),
        ("[retention]\ndays = 1.5\n", "key days: write a whole number, without quotes."),
        ("[retention]\ndays = 0\n", "key days: write a number of at least 1."),
        ("[retention]\ndays = 99999\n", "key days: write a number of at most 36,525."),
        ("[retention]\ndays = " + "9" * 6000, "cannot be read: a number in it is too long"),
        ("a = " + "[" * 100_000, "its lists are nested too deeply"),
        (
            "[japan]\naccepted_at = '2026-01-01'\n",
            "key accepted_at: write a day without quotes, for example 2026-11-20.",
        ),
        ("[japan]\naccepted_at = 2026-01-01T00:00:00Z\n", "key accepted_at: write a day without quotes"),
        ("[japan]\ncode_text_sha256 = 'ab'\n", "is no SHA-256: write 64 digits"),
        (
            '[[japan.item]]\nkey = "x"\nprinciple = 1\n',
            '[[japan.item]] number 1 (x), key principle: write "1", "2" or "3".',
        ),
        ('[[japan.item]]\nkey = "X"\nprinciple = "1"\n', "key key: is no key: write small letters"),
        (f"[[training_use]]\nsites = []\n{ATTESTED}", "[[training_use]] number 1, key sites: names nothing"),
        (
            f'[[training_use]]\nsites = ["www.example.com"]\n{ATTESTED}',
            'host of the site example.com: write "example.com"',
        ),
        (f'[[training_use]]\nsites = ["https://x/"]\n{ATTESTED}', "entry 1: is no domain: write it without scheme"),
        (CRAWLER * 2, "has two [[crawler]] with the id a: keep one."),
        (f'[[training_use]]\nsites = ["a.com", "A.com"]\n{ATTESTED}', "has two [[training_use]] of the site a.com"),
        ('[[japan.item]]\nprinciple = "1"\nkey = "x"\n' * 2, "has two [[japan.item]] of principle and key 1 x"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_the_place_and_what_to_write(file: Path, content: str, said: str) -> None:
    assert said in said_of(file, content)


def test_a_file_that_is_too_large_or_no_text_is_refused(file: Path) -> None:
    assert "is larger than 1 MiB" in said_of(file, "#" * (FILE_MAX + 1))
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="is not UTF-8: save it as UTF-8"):
        declarations.read(str(file))


@pytest.mark.parametrize("value", ["3", "true", "2026-01-01", '"x"', "[]", "[{}]", "{}", "{ a = 1 }", "1.5", '["x"]'])
def test_no_value_of_toml_brings_words_of_a_programmer(file: Path, value: str) -> None:
    refusals = 0
    for table, names in keys().items():
        if table in ((), ("crawler", "exclusion_lists"), ("crawler", "earlier_period")):
            continue
        heading = {
            ("crawler",): CRAWLER,
            ("training_use",): "[[training_use]]\n",
            ("japan", "item"): "[[japan.item]]\n",
        }
        for name in (one for one in names if (table, one) != (("crawler",), "id")):
            content = f"{heading.get(table, f'[{table[0]}]\n')}{name} = {value}\n"
            try:
                read(file, content)
            except ConfigurationError:
                said_of(file, content)
                refusals += 1
    assert refusals > 40


def test_an_error_that_has_no_words_of_its_own_says_what_the_library_does() -> None:
    error = {"type": "unheard_of", "loc": ("operator", "sme"), "msg": "is odd"}
    assert declaration_errors.sentence(error, {"operator": {"sme": 1}}, keys()) == "[operator], key sme: is odd"


def test_joiners_that_scripts_need_are_no_hidden_characters() -> None:
    for text in ("می\u200cخواهم", "क्\u200dष", "👩\u200d💻", "日本語"):
        assert declared_values.line(text) == declared_values.paragraphs(text) == text


def test_the_operators_word_is_shown_as_declared(mixed: logs.LogBuilder, file: Path) -> None:
    file.write_text(
        '[operator]\nlegal_name = "Labs"\ncountry = "JP"\ncontact = "a@b.example"\neu_representative = "Rep"\n'
        '[[crawler]]\nid = "pair"\npurpose = "to train"\nexpected_user_agent = "Pair/1"\n'
        '[[crawler]]\nid = "never-seen"\n'
    )
    answer = crawl_audit("report", "activity", mixed.root, "--operator", file, "--format", "json").json
    assert answer["operator"] == {
        "legal_name": "Labs",
        "country": "JP",
        "contact": "a@b.example",
        "eu_representative": "Rep",
    }
    alpha, pair = answer["crawlers"]
    assert alpha["expected_user_agent"] == "AlphaBot/1.0"  # from the run record
    assert (pair["purpose"], pair["expected_user_agent"]) == ({"en": "to train"}, "Pair/1")
    assert "Labs" in crawl_audit("report", "activity", mixed.root, "--operator", file).out


@pytest.mark.parametrize("kind", ["activity", "card"])
def test_strict_ends_with_3_where_something_is_left_out_and_with_0_where_nothing_is(
    mixed: logs.LogBuilder, file: Path, kind: str
) -> None:
    assert crawl_audit("report", kind, mixed.root, "--strict").code == INCOMPLETE == 3
    assert crawl_audit("report", kind, mixed.root).code == 0
    content = everything(mixed)
    file.write_text(content)
    ran = crawl_audit("report", kind, mixed.root, "--operator", file, "--strict", "--format", "json")
    assert [one for one in ran.json["withheld"] if one["reason_code"] == "not_supplied"] == []
    assert ran.code == 0
    file.write_text(content.replace("legal_name =", "# legal_name ="))
    assert crawl_audit("report", kind, mixed.root, "--operator", file, "--strict").code == 3


def test_what_is_not_supplied_is_said_in_every_form(mixed: logs.LogBuilder) -> None:
    for form in ("text", "md", "html"):
        assert "withheld: not supplied" in crawl_audit("report", "activity", mixed.root, "--format", form).out
    answer: dict[str, Any] = crawl_audit("report", "activity", mixed.root, "--format", "json").json
    assert answer["operator"]["legal_name"] is None
    assert {"field": "operator.legal_name", "reason_code": "not_supplied"}.items() <= next(
        one for one in answer["withheld"] if one["field"] == "operator.legal_name"
    ).items()


def test_a_missing_operator_file_is_refused(mixed: logs.LogBuilder, tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        assert "cannot be read" in refused("report", "sites", mixed.root, "--operator", path, code=78)
