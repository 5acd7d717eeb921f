"""The generated parts about running the sidecar: its metrics, its settings, and the last soak."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs.tables import table
from proxy_addon import settings
from proxy_addon.gauges import Watched, watch
from proxy_addon.metrics import Metrics

_SOAK = Path(__file__).resolve().parents[1] / "tests" / "soak" / "results.json"


def soak() -> str:
    """The last soak, for reliability.md; nothing where none was kept."""
    if not _SOAK.exists():
        return "No run is kept here; `python -m tests.soak` makes one.\n"
    found = json.loads(_SOAK.read_text(encoding="utf-8"))
    counts = found["counts"]
    said = (
        f"{counts['requests']:,} requests in {found['seconds']:,} s ({found['rate']:.0f} a second) to"
        f" {found['hosts']:,} hosts, on {found['on']} ({found['where']}): {counts['decisions']:,} decisions and"
        f" {counts['completions']:,} completions of {counts['forwarded']:,} forwarded requests on record,"
        f" {counts['unknown_crawler']:,} refused for want of a token, {counts['never_decided']:,} given up by the"
        f" client before a decision; robots.txt fetched {found['robots_fetched']:,} times. `crawl-audit verify` finds"
        f" {found['verify']['errors']} errors. Result: {'; '.join(found['failures']) or 'passed'}.\n\n"
    )
    rows = [
        (
            _SOAK_MEANINGS[row["what"]],
            f"{row['first']:g}",
            f"{row['median']:g}",
            f"{row['highest']:g}",
            f"{row['growth']:+.2f}",
            f"{row['allowed']:.2f}",
        )
        for row in found["flatness"]
    ]
    return said + table(("", "at the start", "median", "highest", "growth", "allowed"), rows)


_SOAK_MEANINGS = {
    "rss_mib": "resident memory, MiB",
    "pss_mib": "proportional memory, MiB",
    "descriptors": "file descriptors",
    "threads": "threads",
    "queue": "records waiting for a commit",
    "open_exchanges": "open exchanges",
}


def metrics() -> str:
    """Every metric: name as it is asked for, type, labels, meaning."""
    found = Metrics()
    nothing: Any = SimpleNamespace()
    watch(found, Watched(**dict.fromkeys((field.name for field in fields(Watched)), nothing)))
    found.watch_lines()
    found.built(version="", schema=0, config_sha256="")
    rows = [
        (f"`{one.name}`", one.type, ", ".join(f"`{label}`" for label in one.labels) or "–", one.meaning)
        for one in sorted(found.described, key=lambda one: one.name)
    ]
    return table(("metric", "type", "labels", "meaning"), rows)


def every_setting() -> str:
    """Every setting: its name in the file, default, environment variable, what it means."""
    parts = []
    for title, model, path in _sections(settings.Settings, ()):
        rows = []
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                continue
            variable = settings.ENV_PREFIX + settings.ENV_NESTED.join((*path, name)).upper()
            shown = f"`{variable}`" if path is not _LISTED else "–"
            rows.append((f"`{name}`", _default(name, field), _unit(name), shown, field.description or ""))
        if rows:
            parts.append(f"### {title}\n\n" + table(("setting", "default", "unit", "environment", "meaning"), rows))
    return "\n".join(parts)


_LISTED = ("", "")  # the path of models that stand in lists: no variable names one of them
_UNITS = {
    "_per_s": "1/s",
    "_s": "s",
    "_h": "h",
    "_mib": "MiB",
    "_kib": "KiB",
    "_bytes": "octets",
    "_bytes_s": "octets/s",
    "_ms": "ms",
}


def _sections(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[str, type[BaseModel], tuple[str, ...]]]:
    """(heading, model, path) of a settings model and of all below it."""
    if path is _LISTED:
        return
    yield (f"`[{'.'.join(path)}]`" if path else "Top of the file"), model, path
    for name, field in model.model_fields.items():
        annotation = field.annotation
        inner = [given for given in get_args(annotation) if isinstance(given, type) and issubclass(given, BaseModel)]
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _sections(annotation, (*path, name))
        for listed in inner:
            if get_origin(annotation) is dict:
                continue  # by words of other people's choosing; the document that explains them has them
            if get_origin(annotation) is tuple:
                yield f"`[[{'.'.join((*path, name))}]]`", listed, _LISTED
            else:
                yield from _sections(listed, (*path, name))


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    if field.default_factory is not None:
        return "the host's name" if name == "node" else "none"
    value = field.default
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    return f"`{value.value if isinstance(value, Enum) else value}`"


def _unit(name: str) -> str:
    fitting = [ending for ending in _UNITS if name.endswith(ending)]
    return _UNITS[max(fitting, key=len)] if fitting else "–"
