"""How the fields of a record are declared: the meaning of each, and how the leaf treats it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NewType, dataclass_transform

Instant = NewType("Instant", int)
"""Microseconds since 1970-01-01 00:00 UTC."""


def column(meaning: str, *, sensitive: bool = False, bound: bool = False) -> Any:
    """Declare a field: what it means, and how the leaf treats it.

    ``sensitive``: the leaf holds a salted commitment to the value, so it can be withheld with every proof intact.
    ``bound``: the value is left out of the leaf because another field of the record is its SHA-256.
    """
    return field(metadata={"meaning": meaning, "sensitive": sensitive, "bound": bound})


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(column,))
def record[T](cls: type[T]) -> type[T]:
    """Make a frozen value of a class of declared fields."""
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)
