"""What only the operator can say: its name, its crawlers' purposes and policies, from a TOML file and the run records.

Nothing here is derived from traffic, and every report that shows it carries D-DECL.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from crawl_audit.errors import ConfigurationError
from reports.log import Log

OPERATOR_KEYS = ("legal_name", "country", "contact", "eu_representative")
CRAWLER_KEYS = ("purpose", "purpose_text", "operated_by", "on_behalf_of", "contact", "docs_uri", "how_to_block")

Declarations = dict[str, Any]
"""``operator``: its own keys; ``crawlers``: id → its keys."""


def read(path: str | None) -> Declarations:
    """The declarations in the TOML file ``path``; raises ConfigurationError where it says what is not understood.

    ``[operator]`` takes the keys OPERATOR_KEYS, each ``[[crawler]]`` an ``id`` and CRAWLER_KEYS; all are strings.
    """
    if path is None:
        return {"operator": {}, "crawlers": {}}
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"The operator file {path} cannot be read: {error}.") from error
    strange = sorted(set(content) - {"operator", "crawler"})
    if strange:
        raise ConfigurationError(f"The operator file {path} has an unknown table {strange[0]!r}.")
    listed = content.get("crawler", [])
    if not isinstance(listed, list):
        raise ConfigurationError(f"In the operator file {path}, write [[crawler]] with two brackets.")
    crawlers = {}
    for entry in listed:
        checked = _checked(path, "[[crawler]]", entry, ("id", *CRAWLER_KEYS))
        if "id" not in checked:
            raise ConfigurationError(f"In the operator file {path}, a [[crawler]] has no id.")
        crawlers[checked.pop("id")] = checked
    return {"operator": _checked(path, "[operator]", content.get("operator", {}), OPERATOR_KEYS), "crawlers": crawlers}


def _checked(path: str, table: str, entry: Any, keys: tuple[str, ...]) -> dict[str, str]:
    if not isinstance(entry, dict):
        raise ConfigurationError(f"In the operator file {path}, {table} is not a table.")
    for key, value in entry.items():
        if key not in keys:
            raise ConfigurationError(f"In the operator file {path}, {table} has an unknown key {key!r}.")
        if not isinstance(value, str):
            raise ConfigurationError(f"In the operator file {path}, {key} of {table} must be a string.")
    return dict(entry)


def configured_crawlers(log: Log) -> dict[str, dict[str, Any]]:
    """Crawler id → its settings as recorded by the latest run that knew it."""
    found: dict[str, dict[str, Any]] = {}
    for row in log.rows("settings"):
        for crawler in listed(settings_object(row["settings"]), "crawlers"):
            found.setdefault(str(crawler.get("id")), crawler)
    return found


def settings_of(log: Log, name: str) -> dict[str, Any] | None:
    """The settings recorded at the start of the log ``name``; None where they are not in the segments."""
    for row in log.rows("settings"):
        if row["log"] == name:
            return settings_object(row["settings"])
    return None


def listed(settings: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The tables under ``name`` in settings; none where a hostile log holds something else there."""
    found = settings.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def settings_object(settings: str) -> dict[str, Any]:
    """Recorded settings as an object; empty where a hostile log holds something else there."""
    try:
        content = json.loads(settings)
    except (ValueError, RecursionError, TypeError):
        return {}
    return content if isinstance(content, dict) else {}
