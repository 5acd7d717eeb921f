"""The settings that runs recorded at their start, read from a log that may be hostile."""

from __future__ import annotations

import json
from typing import Any

from reports.log import Log


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
