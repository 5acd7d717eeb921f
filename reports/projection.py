"""What a level may see of a record: what its declaration allows, in the form it allows, and nothing else.

A field that is not declared is an error, and so is a value that is not of its declared form, because an object where
a text was declared would carry fields that nobody declared. What is declared withheld is left out and named.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from crawl_audit.errors import LogFormatError
from reports.fields import NOT_SUPPLIED, OTHER_WORDS, Field, Form, Show, Source
from reports.levels import Level, banded, moment, shares, withheld
from reports.period import iso

NO_KEY = "given to regulators as a keyed hash: name a key with --url-key"
OWN_WORDS = "in words of the operator's own; given to regulators"
NOT_SAID = "the operator file does not say it"
_NAMES_MAX = 20
"""Objects of a list that are named one by one where the operator says nothing of a field; more are one line."""

_OF_FORM: dict[Form, Callable[[Any], bool]] = {
    Form.TEXT: lambda value: isinstance(value, str),
    Form.COUNT: lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    Form.FLAG: lambda value: isinstance(value, bool),
    Form.INSTANT: lambda value: isinstance(value, datetime) or _is_instant(value),
    Form.TEXTS: lambda value: isinstance(value, list | tuple) and all(isinstance(one, str) for one in value),
    Form.TALLY: lambda value: (
        isinstance(value, dict) and all(isinstance(k, str) and _OF_FORM[Form.COUNT](v) for k, v in value.items())
    ),
    Form.LOCALISED: lambda value: (
        isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, str) for k, v in value.items())
    ),
    Form.RECORD: lambda value: isinstance(value, Mapping),
    Form.RECORDS: lambda value: isinstance(value, list | tuple) and all(isinstance(one, Mapping) for one in value),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """What a level may see of a record, and what was left out and why."""

    shown: dict[str, Any]
    withheld: tuple[dict[str, str], ...]


def project(record: Mapping[str, Any], fields: tuple[Field, ...], level: Level, key: bytes | None = None) -> Projection:
    """The part of ``record`` that ``level`` may see.

    Every declared field must be there (None: not known) and no other; ``key`` is that of keyed hashes. Raises
    ValueError where record and declaration differ, and LogFormatError where a value is not of its declared form.
    """
    made = _Projecting(level=level, key=key)
    shown = made.record(record, fields, "", "")
    return Projection(shown=shown, withheld=made.left())


class _Plan(NamedTuple):
    """What is done to every object with the same fields at the same place of a record."""

    names: frozenset[str]
    seen: tuple[tuple[str, Field, Callable[[Any], Any] | None], ...]
    """Name, field and how its value is shown; None: it is a record or a list of them."""


@dataclass(slots=True, kw_only=True)
class _Projecting:
    """One projection under way: the level, and what has been left out so far.

    A ``place`` is where a record stands, names of objects included; ``general`` is the same without them.
    """

    level: Level
    key: bytes | None
    hidden: dict[str, dict[str, str]] = field(default_factory=dict)
    unsaid: dict[str, dict[str, None]] = field(default_factory=dict)
    plans: dict[tuple[int, str], _Plan] = field(default_factory=dict)

    def record(self, record: Mapping[str, Any], fields: tuple[Field, ...], place: str, general: str) -> dict[str, Any]:
        plan = self.plans.get((id(fields), general)) or self._plan(fields, general)
        if record.keys() != plan.names:
            different = sorted(plan.names ^ record.keys())
            raise ValueError(
                f"the record at {general or 'its top'} and its declaration differ in {', '.join(different)}"
            )
        made: dict[str, Any] = {}
        for name, one, shown in plan.seen:
            value = record[name]
            if value is None:
                if one.asked_of is None or one.asked_of(record):
                    self._note_unknown(one, place + name, general + name)
                made[name] = None
            elif shown is not None:
                made[name] = shown(value)
            else:
                made[name] = self._inner(value, one, place + name, general + name)
        return made

    def left(self) -> tuple[dict[str, str], ...]:
        """What is left out: withheld fields first, a line for a field whatever the objects of a list are called."""
        unsaid = []
        for general, paths in self.unsaid.items():
            named = [general] if len(paths) > _NAMES_MAX else list(paths)
            unsaid += [withheld(path, NOT_SUPPLIED, NOT_SAID) for path in named]
        return (*self.hidden.values(), *unsaid)

    def _plan(self, fields: tuple[Field, ...], general: str) -> _Plan:
        seen = []
        for one in fields:
            show, path = one.show(self.level), general + one.name
            if show is Show.WITHHELD or (show is Show.KEYED and self.key is None):
                note = one.note if show is Show.WITHHELD else NO_KEY
                self.hidden.setdefault(path, withheld(path, one.reason or "trade_secret", note))
            else:
                inner = one.form in (Form.RECORD, Form.RECORDS)
                seen.append((one.name, one, None if inner else self._shown(one, show, path)))
        made = _Plan(names=frozenset(one.name for one in fields), seen=tuple(seen))
        self.plans[id(fields), general] = made
        return made

    def _shown(self, one: Field, show: Show, path: str) -> Callable[[Any], Any]:
        if show is not Show.FIXED:
            return _shown_as(one, show, self.key, path)
        as_it_is = _shown_as(one, Show.AS_IS, self.key, path)

        def fixed(value: Any) -> Any:
            found = as_it_is(value)
            made = [
                word if word in one.words else OTHER_WORDS for word in (found if one.form is Form.TEXTS else [found])
            ]
            if OTHER_WORDS in made:
                self.hidden.setdefault(path, withheld(path, one.reason or "trade_secret", OWN_WORDS))
            return list(dict.fromkeys(made)) if one.form is Form.TEXTS else made[0]

        return fixed

    def _note_unknown(self, one: Field, path: str, general: str) -> None:
        if not one.nullable:
            raise ValueError(f"{general} is null, and is declared never to be")
        if one.source is Source.DECLARED and not one.optional:
            self.unsaid.setdefault(general, {})[path] = None

    def _inner(self, value: Any, one: Field, path: str, general: str) -> Any:
        if not _OF_FORM[one.form](value):
            raise _wrong(one, general)
        if one.form is Form.RECORD:
            return self.record(value, one.fields, path + ".", general + ".")
        keyed_by = next((inner for inner in one.fields if inner.name == one.key), None)
        named = keyed_by is not None and keyed_by.show(self.level) is Show.AS_IS
        return [
            # A name must not look like a path of its own, and is said only where this level sees it.
            self.record(
                each,
                one.fields,
                f"{path}[{str(each.get(one.key)).translate(_BRACKETS) if named else ''}].",
                general + "[].",
            )
            for each in value
        ]


def _wrong(one: Field, general: str) -> LogFormatError:
    return LogFormatError(
        f"The log or the operator file holds something else than {one.form} for {general}: nothing can be shown of it."
    )


def _shown_as(one: Field, show: Show, key: bytes | None, general: str) -> Callable[[Any], Any]:
    """How a value of a field is shown; refuses one of another form."""
    is_right = _OF_FORM[one.form]
    as_it_is = show is Show.AS_IS and one.form in (Form.TEXT, Form.COUNT, Form.FLAG)

    def shown(value: Any) -> Any:
        if not is_right(value):
            raise _wrong(one, general)
        return value if as_it_is else _value(value, one.form, show, key)

    return shown


_EARLIEST = datetime.fromisoformat("0001-01-02")
_BRACKETS = str.maketrans("[]", "()")


def _is_instant(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value.removesuffix("Z")).tzinfo is None
    except ValueError:
        return False


def _value(value: Any, form: Form, show: Show, key: bytes | None) -> Any:
    if show is Show.KEYED:
        assert key is not None, "asked before"
        # In their own order the hashes of a sorted list would say where between two known texts a third one lies.
        return sorted(keyed(one, key) for one in value) if form is Form.TEXTS else keyed(value, key)
    if form is Form.INSTANT:
        return _moment(value, show)
    if form is Form.TALLY:
        if show is Show.SHARE:
            return shares(value)
        return {name: banded(number) if show is Show.BAND else number for name, number in value.items()}
    if form is Form.TEXTS:
        return list(value)
    if form is Form.LOCALISED:
        return dict(value)
    return banded(value) if show is Show.BAND else value


def _moment(value: datetime | str, show: Show) -> str | None:
    at = value if isinstance(value, datetime) else datetime.fromisoformat(value.removesuffix("Z"))
    if show is Show.AS_IS:
        return iso(at)
    if show is Show.LAST_MONTH:
        return moment(max(at, _EARLIEST) - timedelta(microseconds=1), Level.PUBLIC)
    return moment(at, Level.PUBLIC if show is Show.MONTH else Level.REGULATOR)


def keyed(text: str, key: bytes) -> str:
    """A value that who holds the key can test, and nobody else can list: HMAC-SHA-256 of its UTF-8 octets."""
    return "hmac-sha256:" + hmac.new(key, text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()
