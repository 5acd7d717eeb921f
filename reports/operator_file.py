"""The operator file to be filled in: every key with what it means, and the crawlers that a log knows already."""

from __future__ import annotations

import importlib.resources
import json
import re
from pathlib import Path
from typing import Any

from crawl_audit.errors import ConfigurationError
from reports import declared_values
from reports.crawler_declared import purpose
from reports.declarations import Crawler
from reports.japan_items import built_in
from reports.log import Log, Row
from reports.recorded_settings import configured_crawlers
from reports.render import visible

_SEPARATOR = "%%\n"
_ITEMS = "%items%\n"
_ID = '#id = "news"\n'
_AGENT_MAX = 200


def template(log: Log | None = None) -> str:
    """The text of the file, valid as it is: TOML whose keys are comments, but for the ids of the crawlers of ``log``.

    A crawler whose id no settings of the sidecar can have is named in a comment only: the log may be a stranger's.
    """
    text = (importlib.resources.files("reports") / "operator_template.txt").read_text(encoding="utf-8")
    before, crawler, after = text.replace(_ITEMS, _items()).split(_SEPARATOR)
    if log is None:
        return before + crawler + after
    configured = configured_crawlers(log)
    seen = {row["crawler"]: row for row in log.rows("operator_crawlers")}
    names = sorted({*seen, *configured})
    tables = [_table(crawler, name, seen.get(name), configured.get(name, {})) for name in names]
    return before + ("\n".join(tables) or crawler) + after


def _items() -> str:
    """The built-in items of the Japanese statement, each as one that is not implemented yet: no text claims more."""
    pending = '{ en = "In preparation.", ja = "準備中です。" }'
    blocks = (
        f"# {one['title']['ja']} / {one['title']['en']} ({one['basis']})\n#[[japan.item]]\n"
        f'#principle = "{one["principle"]}"\n#key = "{one["key"]}"\n#status = "explain"\n'
        f'#text = {pending}\n#reason_code = "other"\n#reason = {pending}\n'
        for one in built_in()["item"]
    )
    return "\n".join(blocks)


def _table(template_of_one: str, name: str, seen: Row | None, settings: dict[str, Any]) -> str:
    about = "".join(f"# {visible(line)}\n" for line in _observed(seen, settings))
    try:
        declared_values.crawler_id(name)
    except ValueError:
        return f"# A crawler that cannot be declared, because its id is none: {visible(name)[:_AGENT_MAX]}\n{about}"
    made = template_of_one.replace("#[[crawler]]\n", f"[[crawler]]\n{about}", 1)
    for key, value in _suggested(seen, settings).items():
        example = re.search(f"^#{key} = .*$", made, re.MULTILINE)
        assert example is not None, f"the template has no example of {key}"
        made = made[: example.start()] + f"#{key} = {value}" + made[example.end() :]
    return made.replace(_ID, f"id = {json.dumps(name)}\n", 1)


def _suggested(seen: Row | None, settings: dict[str, Any]) -> dict[str, str]:
    """Key → value, as TOML, for what the sidecar's settings say already; still to be put to use by the operator."""
    tokens = [token for joined in _tokens(seen, settings) for token in joined.split(", ") if _is_token(token)]
    contact = settings.get("contact")
    code, _ = purpose(Crawler.model_construct(id=""), settings)
    texts = {
        "client_name": tokens[0] if tokens else None,
        "expected_user_agent": settings.get("user_agent"),
        "rfc9309_product_token": tokens[0] if tokens else None,
        "purpose_code": code,
    }
    made = {key: json.dumps(text) for key, text in texts.items() if _can_be_line(text)}
    return {**made, "contacts": json.dumps([contact])} if _can_be_line(contact) else made


def _is_token(text: str) -> bool:
    try:
        return bool(declared_values.product_token(text))
    except ValueError:
        return False


def _can_be_line(text: Any) -> bool:
    try:
        return isinstance(text, str) and len(text) <= _AGENT_MAX and bool(declared_values.line(text))
    except ValueError:
        return False


def _tokens(seen: Row | None, settings: dict[str, Any]) -> list[str]:
    """Product tokens by the settings, else by the log."""
    tokens = settings.get("product_tokens")
    if not isinstance(tokens, list) or not tokens:
        tokens = [] if seen is None else seen["product_tokens"]
    return [str(token) for token in tokens]


def _observed(seen: Row | None, settings: dict[str, Any]) -> list[str]:
    """What log and settings show of a crawler, one line each."""
    lines = ["In the log:", f"  product tokens: {', '.join(_tokens(seen, settings))[:_AGENT_MAX] or 'none'}"]
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
