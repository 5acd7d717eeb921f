"""What is wrong with an operator file, as one sentence for who writes it: which place, and what to write there."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from reports.render import visible

Path = tuple[str, ...]
Keys = Mapping[Path, Sequence[str]]
"""Table (its names from the top, without numbers) → the keys it may have."""

LISTED: frozenset[Path] = frozenset({("crawler",), ("training_use",), ("japan", "item")})
"""The tables that are written with two brackets, once for each."""
_LANGUAGES = 'write a text in quotes, or one for each language: { en = "…", ja = "…" }'
_FIXED = {
    "string_type": "write a text in quotes",
    "string_too_short": "is empty: write a text, or leave the key out",
    "bool_type": "write true or false, without quotes",
    "int_type": "write a whole number, without quotes",
    "list_type": 'write a list in square brackets, for example ["one", "two"]',
    "date_type": "write a day without quotes, for example 2026-11-20",
    "too_short": "names nothing: name at least one, or leave the key out",
}


def sentence(error: Mapping[str, Any], content: Mapping[str, Any], keys: Keys) -> str:
    """Place and remedy of an error as pydantic reports it (``type``, ``loc``, ``ctx``, ``msg``)."""
    location = tuple(error["loc"])
    if error["type"] == "extra_forbidden":
        where, rest = _heading(location[:-1], content)
        return _joined(where, rest, _unknown(location, keys))
    if error["type"] == "missing":
        where, rest = _heading(location[:-1], content)
        return _joined(where, rest, f"the key {location[-1]} is missing: add it")
    where, rest = _heading(_as_far_as_written(location, content), content)
    return _joined(where, rest, _remedy(error, location))


def _joined(where: str, rest: Sequence[Any], what: str) -> str:
    inner = [f"entry {part + 1}" if isinstance(part, int) else f"key {part}" for part in rest]
    return ", ".join(visible(part) for part in (where, *inner) if part) + (": " if where or inner else "") + what


def _heading(location: tuple[Any, ...], content: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """The table's heading as it stands in the file, and what remains of the place."""
    for names in LISTED:
        size = len(names)
        if location[:size] == names and len(location) > size and isinstance(location[size], int):
            entry = _value(location[: size + 1], content)
            called = next((entry[key] for key in ("id", "key") if isinstance(entry.get(key), str)), None) or ""
            name = f" ({called[:64]})" if called else ""
            return f"[[{'.'.join(names)}]] number {location[size] + 1}{name}", location[size + 1 :]
    if len(location) > 1 or (location and isinstance(content.get(location[0]), dict)):
        return f"[{location[0]}]", location[1:]
    return "", location


def _value(location: Sequence[Any], content: Any) -> Any:
    for part in location:
        content = content[part]
    return content if isinstance(content, dict) else {}


def _as_far_as_written(location: tuple[Any, ...], content: Any) -> tuple[Any, ...]:
    """``location`` without what pydantic adds to it: the kind of a union, ``[key]``."""
    for index, part in enumerate(location):
        inside = isinstance(content, dict) and part in content
        if not inside and not (isinstance(content, list) and isinstance(part, int) and part < len(content)):
            return location[:index]
        content = content[part]
    return location


def _unknown(location: tuple[Any, ...], keys: Keys) -> str:
    """A key that nobody knows: the nearest one that is known, or where it belongs."""
    name, table = visible(str(location[-1]))[:64], tuple(part for part in location[:-1] if isinstance(part, str))
    here = list(keys.get(table, ()))
    elsewhere = next((path for path, known in keys.items() if name in known), None)
    said = f"there is no key {name}" if table else f"there is nothing called {name}"
    near = [one for one in here if name in one.split("_")]
    if not near and elsewhere is not None and elsewhere != ():
        return f"{said} here; write it below {_written(elsewhere, keys)}"
    near = near or difflib.get_close_matches(name, here, n=1, cutoff=0.55)
    if near:
        return f"{said}; did you mean {near[0] if table else _written((near[0],), keys)}?"
    return f"{said}; `crawl-audit report init` writes a file with every key there is"


def _written(table: Path, keys: Keys) -> str:
    """A table as its heading, or as the key that holds it."""
    if table in LISTED:
        return f"[[{'.'.join(table)}]]"
    return f"[{table[0]}]" if len(table) == 1 and table in keys else f"{table[-1]} in {_written(table[:-1], keys)}"


def _remedy(error: Mapping[str, Any], location: tuple[Any, ...]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        if location[-1] == "[key]":
            return f"{visible(str(location[-2]))[:64]} is no language of the reports: write en or ja"
        return f"write {context['expected'].replace(chr(39), chr(34))}"
    if kind in ("model_type", "model_attributes_type", "dict_type", "list_type"):
        return _shape(kind, location)
    if kind in ("string_too_long", "too_long"):
        what = "characters" if kind == "string_too_long" else "entries"
        return f"has more than {context['max_length']:,} {what}: shorten it"
    if kind in ("greater_than_equal", "less_than_equal"):
        least = kind == "greater_than_equal"
        return f"write a number of at {'least' if least else 'most'} {context['ge' if least else 'le']:,}"
    if location[:2] == ("japan", "form"):
        return "write a text in quotes, a whole number, a day, true or false"
    if kind.startswith("date_"):
        return _FIXED["date_type"]
    if kind.startswith("int_"):
        return _FIXED["int_type"]
    return _FIXED.get(kind) or str(error["msg"])


def _shape(kind: str, location: tuple[Any, ...]) -> str:
    """A table where a list belongs, a text where a table belongs, and so on."""
    names = tuple(part for part in location if isinstance(part, str))
    if kind == "list_type":
        heading = ".".join(names)
        return f"write [[{heading}]] with two brackets, once for each" if names in LISTED else _FIXED["list_type"]
    if len(location) == 1 or names == ("japan", "form"):
        heading = ".".join(names)
        return f"{heading} is a table: write [{heading}] with one pair of brackets, once, and its keys below"
    return 'write a table in braces, for example { key = "…" }' if kind != "dict_type" else _LANGUAGES
