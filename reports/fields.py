"""What a record holds, field by field, and what of it each level may see: one declaration for data, schema and page.

A report makes one internal record; :mod:`reports.projection` gives each level what the declaration allows and nothing
else. The JSON Schemas and the tables of docs/records.md come from the same declarations, so they cannot say anything
else. A declaration that would show a lower level more than a higher one cannot be made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reports.levels import Level


class Form(StrEnum):
    """What kind of value a field has."""

    TEXT = "text"  # a string
    COUNT = "count"  # an integer
    FLAG = "flag"  # true or false
    INSTANT = "instant"  # a datetime, or its ISO form
    TEXTS = "texts"  # a list of strings
    TALLY = "tally"  # name -> count
    LOCALISED = "localised"  # language -> string
    RECORD = "record"  # one object with fields of its own
    RECORDS = "records"  # a list of such objects


class Source(StrEnum):
    """Where a value comes from."""

    LOG = "log"  # derived from the log
    DECLARED = "declared"  # the operator's word, not verified
    GIVEN = "given"  # brought by who asks: a question, a manifest
    TOOL = "tool"  # made by crawl-audit itself


class Show(StrEnum):
    """How a level shows a field."""

    AS_IS = "as is"
    BAND = "power of ten"  # of a count or of each count of a tally
    SHARE = "share"  # of each name of a tally in all, two digits
    DAY = "day"
    MONTH = "month"
    LAST_MONTH = "month of the last instant before it"  # of an end that is not included itself
    FIXED = "fixed words"  # a word that is not among those of the field is left out and named
    KEYED = "keyed hash"  # HMAC-SHA-256 under a key that only the operator has
    WITHHELD = "withheld"


_PUBLIC = {Form.COUNT: Show.BAND, Form.INSTANT: Show.MONTH, Form.TALLY: Show.SHARE}
_REGULATOR = {Form.INSTANT: Show.DAY}
NOT_SUPPLIED = "not_supplied"
"""Reason code of a declared value that the operator file does not hold."""
OTHER_WORDS = "in other words"
"""What stands where the operator says something in words of its own, and only fixed ones are shown."""
_EVERYWHERE = {Show.AS_IS, Show.WITHHELD}
_FITTING = {
    Form.TEXT: {*_EVERYWHERE, Show.KEYED, Show.FIXED},
    Form.TEXTS: {*_EVERYWHERE, Show.KEYED, Show.FIXED},
    Form.COUNT: {*_EVERYWHERE, Show.BAND},
    Form.TALLY: {*_EVERYWHERE, Show.BAND, Show.SHARE},
    Form.INSTANT: {*_EVERYWHERE, Show.DAY, Show.MONTH, Show.LAST_MONTH},
}
# What public may show where regulators see something less than everything: never more than they do.
_BELOW = {
    Show.BAND: {Show.BAND, Show.WITHHELD},
    Show.SHARE: {Show.SHARE, Show.WITHHELD},
    Show.DAY: {Show.DAY, Show.MONTH, Show.LAST_MONTH, Show.WITHHELD},
    Show.MONTH: {Show.MONTH, Show.WITHHELD},
    Show.LAST_MONTH: {Show.LAST_MONTH, Show.WITHHELD},
    Show.FIXED: {Show.FIXED, Show.WITHHELD},
    Show.KEYED: {Show.WITHHELD},
    Show.WITHHELD: {Show.WITHHELD},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field: its name in JSON, what it means, who asks for it, and how each level shows it.

    ``public`` and ``regulator`` default by form: counts are powers of ten in public, instants months in public and
    days for regulators. What is withheld has a ``reason`` (a code) and a ``note`` (a phrase for people). ``label`` is
    what people read, in English; ``fields`` are those of a RECORD or of each of RECORDS, which ``key`` tells apart.
    """

    name: str
    form: Form
    meaning: str
    label: str = ""
    asked_by: str = ""
    source: Source = Source.LOG
    public: Show | None = None
    regulator: Show | None = None
    reason: str = ""
    note: str = ""
    fields: tuple[Field, ...] = ()
    key: str = ""
    words: tuple[str, ...] = ()
    """The only values a TEXT, or names the parts of a TALLY, may have, where they are fixed."""
    open: bool = False
    """Whether other values than ``words`` may occur, as the operator writes them; public sees the fixed ones only."""
    nullable: bool = True
    """Whether the value may be null: not known."""
    none: bool = False
    """Whether null means that there is none."""
    optional: bool = False
    """Whether the operator may leave a declared value out, so that nothing is missing where it does."""
    asked_of: Callable[[Mapping[str, Any]], bool] | None = None
    """Whether a declared value is asked of this object (its internal values); None: of every one."""

    def __post_init__(self) -> None:
        """Raises ValueError where a level cannot be shown the field this way, or public would be shown more."""
        public, regulator = self.show(Level.PUBLIC), self.show(Level.REGULATOR)
        if not {public, regulator} <= _FITTING.get(self.form, _EVERYWHERE):
            raise ValueError(f"{self.name} is {self.form} and cannot be shown as {public} and {regulator}")
        if public is Show.KEYED or public not in _BELOW.get(regulator, {public}):
            raise ValueError(f"{self.name} must not be shown as {public} in public and {regulator} to regulators")
        if bool(self.fields) is not (self.form in (Form.RECORD, Form.RECORDS)):
            raise ValueError(f"{self.name} is {self.form}: only records have fields")
        if self.key and self.key not in {field.name for field in self.fields}:
            raise ValueError(f"{self.name} has no field {self.key} that tells its objects apart")
        if (Show.FIXED in (public, regulator) or self.open) and not (self.open and self.words):
            raise ValueError(f"{self.name} has no fixed words beside open ones")

    @property
    def shown_name(self) -> str:
        """What people read for it, in English."""
        return self.label or self.name.replace("_", " ").capitalize()

    def show(self, level: Level) -> Show:
        """How ``level`` shows it."""
        if level is Level.INTERNAL:
            return Show.AS_IS
        if level is Level.REGULATOR:
            return self.regulator or _REGULATOR.get(self.form, Show.AS_IS)
        if self.public is None and self.regulator in (Show.WITHHELD, Show.KEYED):
            return Show.WITHHELD  # never more in public than for regulators
        return self.public or (Show.FIXED if self.open else _PUBLIC.get(self.form, Show.AS_IS))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordType:
    """A kind of record: its name and version as every record carries them, what it is, and its fields in order."""

    name: str
    version: str
    meaning: str
    fields: tuple[Field, ...]


def walk(fields: tuple[Field, ...], place: str = "") -> Iterator[tuple[str, Field]]:
    """Every field with its path, those inside records after their record."""
    for field in fields:
        path = place + field.name
        yield path, field
        yield from walk(field.fields, path + ("[]." if field.form is Form.RECORDS else "."))
