"""Declarations and records to go with them, made up by hypothesis: whatever a kind of report may one day declare."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from reports.fields import Field, Form, Show, Source

LEAVES = [form for form in Form if form not in (Form.RECORD, Form.RECORDS)]
_INSTANTS = st.datetimes(min_value=datetime.fromisoformat("1970-01-01"), max_value=datetime.fromisoformat("2999-12-31"))
_COUNTS = st.integers(min_value=0, max_value=10**15)
SECRET = "secret"


def _field(name: str, form: Form, inner: tuple[Field, ...], draw: st.DrawFn) -> Field | None:
    """A declaration, or None where it is one that cannot be made."""
    try:
        return Field(
            name=name,
            form=form,
            meaning="made up",
            source=draw(st.sampled_from(Source)),
            public=draw(st.none() | st.sampled_from(Show)),
            regulator=draw(st.none() | st.sampled_from(Show)),
            reason="security",
            note="given to somebody",
            fields=inner,
            key=draw(st.sampled_from(["", *(field.name for field in inner)])),
        )
    except ValueError:
        return None


@st.composite
def declarations(draw: st.DrawFn, depth: int = 3) -> tuple[Field, ...]:
    """A tree of fields, every form and way of showing in it."""
    made = []
    for number in range(draw(st.integers(min_value=1, max_value=4))):
        forms = list(Form) if depth > 1 else LEAVES
        form = draw(st.sampled_from(forms))
        inner = draw(declarations(depth - 1)) if form in (Form.RECORD, Form.RECORDS) else ()
        field = _field(f"f{depth}_{number}", form, inner, draw)
        made.append(field or Field(name=f"f{depth}_{number}", form=form, meaning="made up", fields=inner))
    return tuple(made)


@st.composite
def records(draw: st.DrawFn, fields: tuple[Field, ...]) -> dict[str, Any]:
    """A record of these fields in which every text is another one."""
    number = itertools.count()
    return _record(draw, fields, number)


def _record(draw: st.DrawFn, fields: tuple[Field, ...], number: Iterator[int]) -> dict[str, Any]:
    return {field.name: _value(draw, field, number) for field in fields}


def _value(draw: st.DrawFn, field: Field, number: Iterator[int]) -> Any:
    def text() -> str:
        return f"{SECRET}-{next(number):03d}-{draw(st.text(max_size=3))}"

    def some() -> range:
        return range(draw(st.integers(min_value=0, max_value=2)))

    if draw(st.integers(min_value=0, max_value=5)) == 0:
        return None
    if field.form is Form.RECORD:
        return _record(draw, field.fields, number)
    if field.form is Form.RECORDS:
        return [_record(draw, field.fields, number) for _ in some()]
    if field.form is Form.TALLY:
        return {text(): draw(_COUNTS) for _ in some()}
    if field.form is Form.LOCALISED:
        return {"en": text(), "ja": text()}
    if field.form is Form.TEXTS:
        return [text() for _ in some()]
    made = {Form.COUNT: _COUNTS, Form.FLAG: st.booleans(), Form.INSTANT: _INSTANTS, Form.TEXT: st.builds(text)}
    return draw(made[field.form])
