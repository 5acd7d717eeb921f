"""The statement under Japan's Principle Code: exact where the log is exact, the operator's word where it is silent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.records import Signal
from reports import japan_body, japan_facts, japan_words
from reports.fields import walk
from reports.japan_changes import due_after
from reports.japan_items import MARKS, built_in
from reports.japan_record import ITEM, RECORD, TO_WEIGH
from reports.kinds import japan
from reports.kinds.registry import KINDS
from reports.period import Period, iso, parse_period
from reports.render import Chart, Figures, Section, Table
from reports.words import Language, Words
from tests import logs
from tests.frames import frames
from tests.golden.japan.update import HERE, attached, statements
from tests.golden.reports.update import small_log
from tests.reports.command import crawl_audit, refused
from tests.reports.oracles.japan import expected

OPERATOR = """
[operator]
legal_name = "例示株式会社"

[retention]
days = 1095

[[crawler]]
id = "alpha"
purpose_code = "training"
purpose = { ja = "学習データの収集", en = "Collecting training data" }
exclusion_lists = [{ name = "List of pirate sites", version = "2026-10" }]

[japan]
acceptance = "accepts"
role = "both"
signatory = "例示太郎"
services = ["Example Chat"]
models = ["Example-1"]
statement_date = 2026-11-21

[[japan.item]]
principle = "1"
key = "robots_txt"
status = "comply"
text = { ja = "robots.txtに従います。", en = "robots.txt is followed." }

[[japan.item]]
principle = "1"
key = "pirate_site_exclusion"
status = "comply"
text = { ja = "除外しています。", en = "Excluded." }

[[japan.item]]
principle = "1"
key = "architecture"
status = "explain"
text = "Not disclosed."
reason_code = "trade_secret"
reason = { ja = "営業秘密のためです。", en = "It is a trade secret." }

[[japan.item]]
principle = "2"
key = "conditions"
status = "partial"
text = "Who names a domain is answered."
"""


ATTACHED = japan._ATTACHED


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests are about the statement itself and do without the records attached to it, which take longer."""
    monkeypatch.setattr(japan, "_ATTACHED", ())


@pytest.fixture
def with_attached(alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statement as it is, with the records attached to it."""
    monkeypatch.setattr(japan, "_ATTACHED", ATTACHED)


@pytest.fixture
def operator(tmp_path: Path) -> Path:
    path = tmp_path / "operator.toml"
    path.write_text(OPERATOR, encoding="utf-8")
    return path


def more(operator: Path, text: str) -> Path:
    operator.write_text(OPERATOR + text, encoding="utf-8")
    return operator


def statement(root: Path, *options: object) -> dict[str, Any]:
    ran = crawl_audit("report", "japan", root, "--format", "json", *options)
    assert ran.code == 0, ran
    made: dict[str, Any] = ran.json
    return made


def item(made: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in made["items"] if one["item"] == name)


def same_as_the_oracle(made: dict[str, Any], wanted: dict[str, Any]) -> None:
    plain = json.loads(json.dumps(wanted, default=iso))
    assert {
        one["crawler"]: {key: one[key] for key in plain["crawlers"][one["crawler"]]} for one in made["crawlers"]
    } == (plain["crawlers"])
    assert {
        one["protocol"]: {key: one[key] for key in ("found", "first_at", "last_at")} for one in made["signals"]
    } == plain["signals"]
    assert made["log_span"] == plain["log_span"]


@pytest.mark.parametrize(("start", "end"), [(None, None), ("2026-11-18T11:08:00Z", "2026-11-18T11:10:00Z")])
def test_every_number_equals_an_independent_computation(mixed: logs.LogBuilder, start: str, end: str) -> None:
    period = parse_period(start, end)
    options = [word for option, value in (("--from", start), ("--to", end)) if value for word in (option, value)]
    wanted = expected(frames(mixed.root), period)
    assert wanted["crawlers"]["pair"]["violations"] > 0
    same_as_the_oracle(statement(mixed.root, *options), wanted)


def test_pace_barriers_and_slow_down_answers_are_counted(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.run())
    paced = {"crawl_delay_ms": 2000, "request_interval_ms": 500}
    for number, (since, status, barrier) in enumerate(
        [(None, 200, None), (1000, 429, "http_429"), (3000, 503, None), (2500, 401, "http_401"), (700, 200, None)]
    ):
        at = logs.after(1 + number)
        asked = logs.decision("example.com", f"/{number}", at, since_previous_ms=since, **(paced if number < 4 else {}))
        made.add(logs.completion(made.add(asked), at, status=status, barrier=barrier))
    made.add(replace(logs.run("stop"), recorded_at=logs.after(9)))
    made.publish()
    shown = statement(root)
    same_as_the_oracle(shown, expected(frames(root), Period()))
    (alpha,) = shown["crawlers"]
    assert alpha["barriers"] == {"http_401": 1, "http_429": 1}
    assert [alpha[name] for name in ("slow_down_answers", "pace_asked", "faster_than_asked")] == [2, 4, 1]
    assert (alpha["shortest_interval_ms"], alpha["median_interval_ms"]) == (700, 1000)
    assert item(shown, "1.access_load")["to_weigh"] == ["faster_than_asked", "slow_down_answers"]


def test_wishes_about_pace_are_no_reservations(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.run(settings=json.dumps({"signals": {"policy": {"tdmrep": {"training": "deny", "user": "record"}}}})))
    for protocol in ("crawl-delay", "tdmrep", "tdmrep", "web-bot-auth"):
        made.add(
            Signal(
                recorded_at=logs.after(1),
                exchange_id=None,
                snapshot_seq=None,
                protocol=protocol,
                raw="1",
                value=None,
                scope=None,
            )
        )
    made.publish()
    shown = statement(root)
    at = iso(datetime.fromisoformat("2026-11-18T11:06:41"))
    assert shown["signals"] == [
        {"protocol": "tdmrep", "found": 2, "first_at": at, "last_at": at, "denied_for": ["training"]}
    ]


def test_a_status_is_the_operators_and_what_the_log_shows_stands_beside_it(
    mixed: logs.LogBuilder, operator: Path
) -> None:
    made = statement(mixed.root, "--operator", operator)
    assert item(made, "1.robots_txt")["status"] == "comply"  # its word stays, although the log has violations
    assert item(made, "1.robots_txt")["support"] == "log and operator"
    assert item(made, "1.robots_txt")["to_weigh"] == ["violations"]
    assert item(made, "1.pirate_site_exclusion")["support"] == "operator assertion"
    assert item(made, "1.architecture")["support"] == "operator assertion"
    assert item(made, "1.model")["status"] is None
    assert item(made, "1.model")["support"] is None
    text = crawl_audit("report", "japan", mixed.root, "--operator", operator, "--format", "md").out
    assert "disallowed requests were forwarded" in text
    assert "robots.txt is followed." in text


def test_without_a_request_in_the_period_every_status_rests_on_the_operators_word(
    mixed: logs.LogBuilder, operator: Path
) -> None:
    made = statement(mixed.root, "--operator", operator, "--from", "2020-01-01", "--to", "2020-01-02")
    assert item(made, "1.robots_txt")["support"] == "operator assertion"
    assert item(made, "1.robots_txt")["to_weigh"] == []
    assert [(one["crawler"], one["requests"], one["collection_from"]) for one in made["crawlers"]] == [
        ("alpha", 0, None)
    ]


def test_an_item_that_no_log_can_answer_never_points_at_the_log(mixed: logs.LogBuilder, operator: Path) -> None:
    made = statement(mixed.root, "--operator", operator)
    outside = [one for one in made["items"] if one["outside_tool"]]
    assert [one["key"] for one in outside] == [
        "model",
        "architecture",
        "training_process",
        "data_types",
        "accountability",
        "output_measures",
        "provenance_marking",
    ]
    assert all(one["shows"] == one["evidence"] == [] and one["support"] != "log and operator" for one in outside)


def test_what_is_not_supplied_is_named_and_strict_says_so(mixed: logs.LogBuilder, operator: Path) -> None:
    ran = crawl_audit("report", "japan", mixed.root, "--operator", operator, "--format", "json", "--strict")
    assert ran.code == 3
    missing = {one["field"] for one in ran.json["withheld"] if one["reason_code"] == "not_supplied"}
    assert "items[2.conditions].reason" in missing  # a partial one must be explained
    assert not any("robots_txt].reason" in name for name in missing)  # one that complies need not
    assert not any("filed_at" in name or "earlier_period" in name for name in missing)


def test_the_operator_file_corrects_the_list_without_code(
    mixed: logs.LogBuilder, operator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(japan, "_ATTACHED", ATTACHED)
    monkeypatch.setattr(japan, "_attached", attached)
    more(
        operator,
        """
        [japan.principle_titles]
        1 = { ja = "正式な見出し" }
        [[japan.item]]
        principle = "1"
        key = "access_load"
        omit = true
        [[japan.item]]
        principle = "3"
        key = "new_duty"
        title = { ja = "新しい項目", en = "A new duty" }
        basis_mark = "F"
        status = "comply"
        text = "Done."
        evidence = ["activity", "policy of 2026-10-01"]
        [[japan.item]]
        principle = "1"
        key = "identifier"
        title = { ja = "識別子" }
        basis_mark = "F"
        """,
    )
    made = statement(mixed.root, "--operator", operator)
    assert "1.access_load" not in [one["item"] for one in made["items"]]
    assert made["principles"][0]["title"] == {
        "ja": "正式な見出し",
        "en": built_in()["principle_titles"]["1"]["en"],
    }
    new = item(made, "3.new_duty")
    assert made["items"][-1] == new
    assert (new["evidence"], new["references"]) == (["crawler_activity"], ["policy of 2026-10-01"])
    assert (new["basis_mark"], new["basis_by"], new["support"]) == ("F", "operator", "operator assertion")
    assert item(made, "1.identifier")["title"] == {"ja": "識別子", "en": "Crawler identifiers"}
    assert "F (says the operator)" in crawl_audit("report", "japan", mixed.root, "--operator", operator).out


def test_no_built_in_item_claims_to_be_the_final_text() -> None:
    marks = {one["basis"] for one in built_in()["item"]}
    assert marks == {"D", "U"}
    assert marks < set(MARKS)


def test_every_field_an_item_points_at_is_declared() -> None:
    paths = {path for path, _ in walk(RECORD.fields)}
    for one in built_in()["item"]:
        for name in (*one.get("log", ()), *one.get("declared", ())):
            assert japan._path(name) in paths, (one["key"], name)
        assert set(one["title"]) == {"en", "ja"}
        assert set(one.get("evidence", ())) <= {kind.name for kind in KINDS}


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ('[[japan.item]]\nprinciple = "1"\nkey = "robots_txt"\n', "keep one"),
        ('[[japan.item]]\nprinciple = "1"\nkey = "novel"\n', "give it a title"),
        ('[japan.form]\nx = "item:nothing"\n', "refers to item:nothing"),
        ('[japan.form]\nx = "item:conditions"\n', "write item:2.conditions"),
        ('[[japan.item]]\nprinciple = "4"\nkey = "x"\n', "principle"),
    ],
)
def test_an_operator_file_that_cannot_be_followed_is_refused(
    mixed: logs.LogBuilder, operator: Path, added: str, said: str
) -> None:
    more(operator, added)
    assert said in refused("report", "japan", mixed.root, "--operator", operator, code=78)


def test_the_form_is_filled_in_the_order_of_the_operator_file(mixed: logs.LogBuilder, operator: Path) -> None:
    more(
        operator,
        '[japan.form]\n"届出者" = "例示株式会社"\n"受入れ" = true\n"条件" = "item:2.conditions"\n"日" = 2026-11-01\n',
    )
    made = statement(mixed.root, "--operator", operator)
    assert [(one["field"], one["value"], one["item"]) for one in made["form"]] == [
        ("届出者", "例示株式会社", None),
        ("受入れ", "yes", None),
        ("条件", None, "2.conditions"),
        ("日", "2026-11-01", None),
    ]
    text = crawl_audit("report", "japan", mixed.root, "--operator", operator).out
    assert "Partly comply. Who names a domain is answered." in text


def test_the_next_statement_is_due_within_twelve_months(mixed: logs.LogBuilder, operator: Path) -> None:
    assert statement(mixed.root, "--operator", operator)["next_due"] == "2027-11-21"
    assert statement(mixed.root)["next_due"] is None
    assert str(due_after(date(2028, 2, 29))) == "2029-02-28"


def test_what_changed_since_the_previous_statement_is_said(
    mixed: logs.LogBuilder, operator: Path, tmp_path: Path
) -> None:
    earlier = tmp_path / "earlier.json"
    crawl_audit("report", "japan", mixed.root, "--operator", operator, "--format", "json", "-o", earlier)
    unchanged = statement(mixed.root, "--operator", operator, "--previous", earlier)
    assert unchanged["diff_since_previous"] == []
    assert unchanged["previous_statement"]["late"] is False
    changed = OPERATOR.replace('status = "comply"\ntext = { ja = "robots', 'status = "partial"\ntext = { ja = "Robots')
    changed = (
        changed.replace("2026-11-21", "2027-12-01") + '[[japan.item]]\nprinciple = "1"\nkey = "model"\nomit = true\n'
    )
    operator.write_text(changed, encoding="utf-8")
    made = statement(mixed.root, "--operator", operator, "--previous", earlier)
    told = [tuple(one.values()) for one in made["diff_since_previous"]]
    assert told == [
        (None, "changed", "statement_date", "2026-11-21", "2027-12-01"),
        ("1.model", "removed", None, None, None),
        ("1.robots_txt", "changed", "status", "comply", "partial"),
        ("1.robots_txt", "changed", "text", None, None),
    ]
    assert made["previous_statement"]["late"] is True
    assert made["previous_statement"]["content_sha256"] == unchanged["previous_statement"]["content_sha256"]
    text = crawl_audit("report", "japan", mixed.root, "--operator", operator, "--previous", earlier).out
    assert "Partly comply" in text.partition("Changes since")[2]


@pytest.mark.parametrize(
    "content", ['{"record_type": "jp_statement"}', '{"record_type": "jp_statement", "items": [1]}', "[]", "{"]
)
def test_a_previous_statement_that_is_none_is_refused(mixed: logs.LogBuilder, tmp_path: Path, content: str) -> None:
    (tmp_path / "earlier.json").write_text(content)
    refused("report", "japan", mixed.root, "--previous", tmp_path / "earlier.json", code=78)


def renewed(root: Path, operator: Path, earlier: Path, level: str) -> tuple[Any, str]:
    """The next public statement after one at ``level``, as JSON and as people read it."""
    texts = 'services = ["secret-service"]\nmodels = ["Open", "secret-model"]\n'
    before = OPERATOR.replace('services = ["Example Chat"]\nmodels = ["Example-1"]\n', texts)
    operator.write_text(before, encoding="utf-8")
    crawl_audit("report", "japan", root, "--operator", operator, "--format", "json", "--level", level, "-o", earlier)
    after = before.replace(texts, 'models = ["Open"]\n').replace('role = "both"', 'role = "developer"')
    operator.write_text(after, encoding="utf-8")
    asked = ("report", "japan", root, "--operator", operator, "--previous", earlier, "--level", "public")
    return crawl_audit(*asked, "--format", "json").json, crawl_audit(*asked).out


def test_no_text_of_a_statement_that_was_not_public_gets_into_a_public_one(
    mixed: logs.LogBuilder, operator: Path, tmp_path: Path
) -> None:
    for level in ("internal", "regulator"):
        made, text = renewed(mixed.root, operator, tmp_path / "earlier.json", level)
        assert "secret-" not in json.dumps(made) + text
        told = {one["what"]: (one["before"], one["after"]) for one in made["diff_since_previous"]}
        assert told == {"role": ("both", "developer"), "models": (None, None), "services": (None, None)}
        assert made["previous_statement"]["disclosure_level"] == level


def test_texts_of_a_public_statement_are_repeated(mixed: logs.LogBuilder, operator: Path, tmp_path: Path) -> None:
    made, _ = renewed(mixed.root, operator, tmp_path / "earlier.json", "public")
    told = {one["what"]: (one["before"], one["after"]) for one in made["diff_since_previous"]}
    assert told["models"] == ("Open, secret-model", "Open")
    assert told["services"] == ("secret-service", None)


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made["items"][0].update(status="comply"),
        lambda made: made.update(disclosure_level="public"),
        lambda made: made.update(record_id="<script>"),
        lambda made: made.update(content_sha256="0" * 64),
        lambda made: made["items"][0].update(item="../x"),
    ],
)
def test_a_previous_statement_that_was_changed_is_refused(
    mixed: logs.LogBuilder, operator: Path, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    made = statement(mixed.root, "--operator", operator)
    change(made)
    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps(made), encoding="utf-8")
    said = refused("report", "japan", mixed.root, "--operator", operator, "--previous", earlier, code=78)
    assert "is not as it was made" in said


@pytest.mark.usefixtures("with_attached")
def test_a_log_without_a_salt_gives_no_digest_that_could_be_tried_out(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.run())
    made.publish()
    assert {one["internal_sha256"] for one in statement(root, "--level", "public")["evidence"]} == {None}


@pytest.mark.usefixtures("with_attached")
def test_the_attached_records_can_be_made_again_and_compared(mixed: logs.LogBuilder, operator: Path) -> None:
    made = statement(mixed.root, "--operator", operator)
    assert len(made["evidence"]) == len(ATTACHED)
    for one in made["evidence"]:
        options = ("--operator", operator, "--format", "json", "--level", "public")
        again = crawl_audit("report", one["kind"], mixed.root, *options).json
        assert again["record_type"] == one["record_type"]
        assert again["content_sha256"] == one["public_sha256"]
        assert again["tied"]["internal"] == one["internal_sha256"]


def test_the_public_statement_shows_months_and_powers_of_ten(mixed: logs.LogBuilder, operator: Path) -> None:
    made = statement(mixed.root, "--operator", operator, "--level", "public")
    assert {one["collection_from"] for one in made["crawlers"]} == {"11/2026"}
    assert {one["violations"] for one in made["crawlers"]} == {"10-99"}
    assert item(made, "1.robots_txt")["to_weigh"] == ["violations"]


def test_everything_is_said_in_japanese(mixed: logs.LogBuilder, operator: Path) -> None:
    text = crawl_audit("report", "japan", mixed.root, "--operator", operator, "--lang", "ja").out
    for said in ("原則1", "robots.txtに従います。", "クローラの識別子", "記載なし（事業者未提出）", "不許可のまま転送"):
        assert said in text


@pytest.mark.parametrize("language", list(Language))
def test_the_statement_claims_no_approval(mixed: logs.LogBuilder, operator: Path, language: Language) -> None:
    text = crawl_audit("report", "japan", mixed.root, "--operator", operator, "--lang", language).out.lower()
    for claim in ("approved", "certified", "is compliant", "lawful", "trained on", "認証済", "承認済", "認定", "適法"):
        assert claim not in text


def test_what_the_operator_writes_is_harmless_in_markdown(mixed: logs.LogBuilder, operator: Path) -> None:
    more(
        operator, '[[japan.item]]\nprinciple = "1"\nkey = "model"\nstatus = "comply"\ntext = "<script>x</script> | a"\n'
    )
    text = crawl_audit("report", "japan", mixed.root, "--operator", operator, "--format", "md").out
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_the_table_has_one_row_per_item_in_both_languages(
    mixed: logs.LogBuilder, operator: Path, tmp_path: Path
) -> None:
    crawl_audit(
        "report", "japan", mixed.root, "--operator", operator, "--format", "csv", "-o", tmp_path / "statement.csv"
    )
    lines = (tmp_path / "statement.csv").read_text(encoding="utf-8").splitlines()
    made = statement(mixed.root, "--operator", operator)
    assert len(lines) == 1 + made["row_count"] == 1 + len(made["items"])
    assert lines[0].startswith("principle,key,title_ja,title_en,status,support")
    assert any("robots.txtの尊重,Respect of robots.txt,comply,log and operator" in line for line in lines)


@pytest.mark.usefixtures("with_attached")
def test_the_statement_of_a_small_log_is_word_for_word_what_it_was(tmp_path: Path) -> None:
    """`python -m tests.golden.japan.update` writes it anew, in both languages, with its table."""
    for name, text in statements(small_log(tmp_path)).items():
        assert text == (HERE / name).read_bytes().decode(), name


def test_sections_hold_blocks_that_pages_can_draw(mixed: logs.LogBuilder, operator: Path) -> None:
    made = statement(mixed.root, "--operator", operator)
    sections = japan_body.body(made, Words(Language.JA))
    assert all(isinstance(one, Section) and one.blocks for one in sections)
    assert isinstance(sections[0].blocks[1], Figures)
    assert sum(value for _, value, _ in sections[0].blocks[1].items) == len(made["items"])
    blocks = [block for section in sections for block in section.blocks]
    assert not any(isinstance(block, Chart) for block in blocks)
    for block in blocks:
        if isinstance(block, Table):
            assert all(len(row) == len(block.header) for row in block.rows)


def test_the_fixed_words_of_an_item_are_those_the_operator_file_takes() -> None:
    by_name = {field.name: field for field in ITEM}
    assert by_name["status"].words == ("comply", "partial", "explain", "not_applicable")


def test_what_is_to_be_weighed_is_counted_per_crawler_and_has_words() -> None:
    assert set(TO_WEIGH) <= {field.name for field in japan_facts.CRAWLERS.fields}
    for language in Language:
        words = Words(language)
        assert all(japan_words.to_weigh(name, words) != name for name in TO_WEIGH)


@pytest.mark.parametrize("said", [japan_words.status, japan_words.acceptance, japan_words.role])
def test_a_strange_word_of_an_earlier_record_stays_as_it_is(said: Callable[[str | None, Words], str]) -> None:
    words = Words(Language.JA)
    assert said("somehow", words) == "somehow"
    assert said(None, words) == "記載なし（事業者未提出）"
