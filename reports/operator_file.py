"""The operator file to be filled in: every key with what it means, and the crawlers that a log knows already."""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path
from typing import Any

from crawl_audit.errors import ConfigurationError
from reports import declared_values
from reports.log import Log, Row
from reports.recorded_settings import configured_crawlers
from reports.render import visible

_SEPARATOR = "%%\n"
_ID = '#id = "news"\n'
_AGENT_MAX = 200


def template(log: Log | None = None) -> str:
    """The text of the file, valid as it is: TOML whose keys are comments, but for the ids of the crawlers of ``log``.

    A crawler whose id no settings of the sidecar can have is named in a comment only: the log may be a stranger's.
    """
    text = (importlib.resources.files("reports") / "operator_template.txt").read_text(encoding="utf-8")
    before, crawler, after = text.split(_SEPARATOR)
    if log is None:
        return before + crawler + after
    configured = configured_crawlers(log)
    seen = {row["crawler"]: row for row in log.rows("operator_crawlers")}
    names = sorted({*seen, *configured})
    tables = [_table(crawler, name, seen.get(name), configured.get(name, {})) for name in names]
    return before + ("\n".join(tables) or crawler) + after


def _table(template_of_one: str, name: str, seen: Row | None, settings: dict[str, Any]) -> str:
    about = "".join(f"# {visible(line)}\n" for line in _observed(seen, settings))
    try:
        declared_values.crawler_id(name)
    except ValueError:
        return f"# A crawler that cannot be declared, because its id is none: {visible(name)[:_AGENT_MAX]}\n{about}"
    made = template_of_one.replace("#[[crawler]]\n", f"[[crawler]]\n{about}", 1)
    return made.replace(_ID, f"id = {json.dumps(name)}\n", 1)


def _observed(seen: Row | None, settings: dict[str, Any]) -> list[str]:
    """What log and settings show of a crawler, one line each."""
    tokens = settings.get("product_tokens")
    if not isinstance(tokens, list) or not tokens:
        tokens = [] if seen is None else seen["product_tokens"]
    lines = ["In the log:"]
    lines.append(f"  product tokens: {', '.join(str(token) for token in tokens)[:_AGENT_MAX] or 'none'}")
    lines += [
        f"  {key.replace('_', ' ')} in the sidecar's settings: {settings[key][:_AGENT_MAX]}"
        for key in ("user_agent", "purpose", "contact")
        if isinstance(settings.get(key), str)
    ]
    if seen is None:
        return [*lines, "  no request of it"]
    lines.append(f"  requests: {seen['requests']}")
    lines += [f"  User-Agent seen: {agent[:_AGENT_MAX]}" for agent in seen["user_agents"] or ()]
    more = seen["user_agent_count"] - len(seen["user_agents"] or ())
    return [*lines, f"  and {more} other User-Agents"] if more > 0 else lines


def write_template(path: str, text: str) -> None:
    """Write the file; raises ConfigurationError where there is one already, so that no declaration is lost."""
    try:
        with Path(path).open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigurationError(f"{path} exists and is left as it is: name another file with -o.") from error
    except OSError as error:
        raise ConfigurationError(f"The operator file cannot be written to {path}: {error.strerror}.") from error
