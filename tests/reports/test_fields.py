"""What can be declared of a field, and that no declaration in use shows the public more than regulators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reports import envelope_fields
from reports.fields import Field, Form, RecordType, Show, Source, walk
from reports.levels import Level
from reports.report import LAST
from reports.schemas import record_types

RECORDS = {record.name: record for record in record_types()}
REVIEWED = Path(__file__).resolve().parent.parent / "golden" / "reports" / "shown_in_public.txt"
TELLING = (Form.TEXT, Form.TEXTS, Form.TALLY)


def field(form: Form = Form.TEXT, **changes: Any) -> Field:
    inner = (Field(name="inner", form=Form.TEXT, meaning="inside"),) if form in (Form.RECORD, Form.RECORDS) else ()
    return Field(**{"name": "one", "form": form, "meaning": "made up", "fields": inner, **changes})


def test_by_default_public_sees_powers_of_ten_months_and_shares_and_regulators_days() -> None:
    assert {form: field(form).show(Level.PUBLIC) for form in Form if form is not Form.RECORD} == {
        Form.TEXT: Show.AS_IS,
        Form.COUNT: Show.BAND,
        Form.FLAG: Show.AS_IS,
        Form.INSTANT: Show.MONTH,
        Form.TEXTS: Show.AS_IS,
        Form.TALLY: Show.SHARE,
        Form.LOCALISED: Show.AS_IS,
        Form.RECORDS: Show.AS_IS,
    }
    assert field(Form.INSTANT).show(Level.REGULATOR) is Show.DAY
    assert field(Form.COUNT).show(Level.REGULATOR) is Show.AS_IS


@pytest.mark.parametrize("form", Form)
def test_inside_everything_is_seen(form: Form) -> None:
    assert field(form, public=Show.WITHHELD, regulator=Show.WITHHELD).show(Level.INTERNAL) is Show.AS_IS


@pytest.mark.parametrize("regulator", [Show.WITHHELD, Show.KEYED])
def test_what_regulators_do_not_see_as_it_is_public_does_not_see_at_all(regulator: Show) -> None:
    assert field(regulator=regulator).show(Level.PUBLIC) is Show.WITHHELD


@pytest.mark.parametrize(
    ("form", "public", "regulator"),
    [
        (Form.TEXT, Show.AS_IS, Show.WITHHELD),
        (Form.TEXT, Show.AS_IS, Show.KEYED),
        (Form.TEXT, Show.KEYED, None),
        (Form.TEXT, Show.KEYED, Show.KEYED),
        (Form.COUNT, Show.AS_IS, Show.BAND),
        (Form.COUNT, Show.BAND, Show.WITHHELD),
        (Form.TALLY, Show.BAND, Show.SHARE),
        (Form.INSTANT, Show.AS_IS, None),
        (Form.INSTANT, Show.DAY, Show.MONTH),
    ],
)
def test_a_declaration_that_shows_the_public_more_than_regulators_cannot_be_made(
    form: Form, public: Show | None, regulator: Show | None
) -> None:
    with pytest.raises(ValueError, match="must not be shown"):
        field(form, public=public, regulator=regulator)


@pytest.mark.parametrize(
    ("form", "public"),
    [
        (Form.TEXT, Show.BAND),
        (Form.COUNT, Show.SHARE),
        (Form.COUNT, Show.MONTH),
        (Form.FLAG, Show.KEYED),
        (Form.INSTANT, Show.BAND),
        (Form.LOCALISED, Show.DAY),
        (Form.RECORD, Show.BAND),
        (Form.RECORDS, Show.SHARE),
    ],
)
def test_a_form_is_shown_only_in_a_way_that_fits_it(form: Form, public: Show) -> None:
    with pytest.raises(ValueError, match="cannot be shown as"):
        field(form, public=public)


def test_records_have_fields_and_nothing_else_has() -> None:
    with pytest.raises(ValueError, match="only records have fields"):
        field(Form.RECORDS, fields=())
    with pytest.raises(ValueError, match="only records have fields"):
        field(Form.TEXT, fields=(field(),))
    with pytest.raises(ValueError, match="tells its objects apart"):
        field(Form.RECORDS, key="another")


@pytest.mark.parametrize("record", RECORDS.values(), ids=list(RECORDS))
def test_every_record_is_declared_without_doubles_and_with_reasons(record: RecordType) -> None:
    paths = [path for path, _ in walk((*envelope_fields.FIELDS, *record.fields, *LAST))]
    assert len(paths) == len(set(paths))
    for path, one in walk((*envelope_fields.FIELDS, *record.fields)):
        shows = {one.show(level) for level in Level}
        assert one.meaning, path
        if Show.WITHHELD in shows and Show.KEYED not in shows:
            assert one.reason and one.note, f"{path} is withheld: say why"


def telling() -> list[str]:
    """Texts from logs and of who asks that the public sees as they are, and tallies by their names."""
    lines = set()
    for record in RECORDS.values():
        for path, one in _public((*envelope_fields.FIELDS, *record.fields)):
            open_names = one.form in TELLING and not one.words
            if open_names and one.source in (Source.LOG, Source.GIVEN) and one.show(Level.PUBLIC) is not Show.WITHHELD:
                lines.add(f"{record.name} {path}" if one not in envelope_fields.FIELDS else f"* {path}")
    return sorted(lines)


def _public(fields: tuple[Field, ...]) -> list[tuple[str, Field]]:
    hidden = [path for path, one in walk(fields) if one.show(Level.PUBLIC) is Show.WITHHELD]
    return [
        (path, one)
        for path, one in walk(fields)
        if not any(path == gone or path.startswith((gone + ".", gone + "[].")) for gone in hidden)
    ]


def test_every_text_that_the_public_sees_has_been_looked_at() -> None:
    """A text shown in public by mistake would be somebody's secret: who adds one to the file has thought of that."""
    assert telling() == REVIEWED.read_text(encoding="utf-8").splitlines(), f"look at each, then mend {REVIEWED.name}"
