"""Usage preferences in the first octets of an HTML page: `<meta>` for robots and TDMRep, `<link rel=license>` for RSL.

A tolerant scanner and no parser: it looks for three kinds of tags where a browser would see them (not in comments,
not in scripts) and reads their attributes.  It never goes back, so it is linear, and any octets give an answer.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection

from crawl_audit.identity import ANY_CRAWLER
from crawl_audit.signals import RAW_CHARACTERS_MAX, FoundSignal
from crawl_audit.text import storable

SCAN_BYTES_MAX = 64 * 1024
SIGNALS_MAX = 50
"""How many signals are taken from one page."""
_TAGS_MAX = 1000  # looked at in one page, whatever they say: a bound on the time, some 3 ms
_ATTRIBUTES_MAX = 32  # read of one tag
_PAGE_ATTRIBUTES_MAX = 3000
_READ = frozenset({"name", "content", "rel", "type", "href"})
_VALUE_CHARACTERS_MAX = 2048

_MARKUP = re.compile(
    r"<(?=[!A-Za-z])(?:(!--)|(meta|link|script|style|title|textarea|xmp|iframe|noembed|noframes)(?=[\s/>]))",
    re.IGNORECASE,
)
# Elements whose content is text: nothing in them is a tag until they end (HTML, 13.1.2).
_TEXT_ONLY = frozenset({"script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes"})
# Possessive, so that a match that fails has not been tried in more than one way.
_ATTRIBUTE = re.compile(r"""[\s/]*+([^\s>/][^\s=>/]*+)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>"'][^\s>]*+)?))?+""")
_TAG_END = re.compile(r"[\s/]*+>?")
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


def html_signals(body: bytes, product_tokens: Collection[str]) -> list[FoundSignal]:
    """Signals of a page in the order of its tags, at most `SIGNALS_MAX`; any octets are fine.

    Read are `SCAN_BYTES_MAX` octets of ``body``, which is whole or the beginning, after content decoding.  `<meta>`
    tags count that name all robots or one of ``product_tokens``, in any case.
    """
    text = _text(body[:SCAN_BYTES_MAX])
    tokens = {name.lower(): name for name in product_tokens if name != ANY_CRAWLER}
    lower: str | None = None
    found: list[FoundSignal] = []
    position = read = 0
    for _ in range(_TAGS_MAX):
        markup = _MARKUP.search(text, position)
        if markup is None or len(found) >= SIGNALS_MAX or read > _PAGE_ATTRIBUTES_MAX:
            break
        position = markup.end()
        if markup[1]:
            # A comment that is empty or does not end is one up to there (HTML, 13.2.5.42 and following).
            position = _after(text, "-->", position - 2)
            continue
        name = markup[2].lower()
        attributes, position, number = _attributes(text, position)
        read += number
        if name in _TEXT_ONLY:
            lower = lower if lower is not None else _ascii_lower(text)
            position = _after(lower, "</" + name, position)
            continue
        if text[position - 1] != ">":
            continue  # the tag does not end, or not within what is read: half of it may say the contrary
        signal = _meta(attributes, tokens) if name == "meta" else _link(attributes)
        if signal is not None:
            protocol, value, scope = signal
            raw = storable(text[markup.start() : position], RAW_CHARACTERS_MAX)
            found.append(FoundSignal(protocol=protocol, raw=raw, value=value, scope=scope))
    return found


type _Reading = tuple[str, str | None, str | None]
"""protocol, value, scope"""


def _meta(attributes: dict[str, str], tokens: dict[str, str]) -> _Reading | None:
    name, content = attributes.get("name", "").strip().lower(), attributes.get("content", "")
    if name == "robots" or name in tokens:
        words = ", ".join(" ".join(word.split()) for word in content.lower().split(",") if word.strip())
        return ("meta-robots", _bounded(words), tokens.get(name))
    if name == "tdm-reservation":
        return ("tdmrep", {"1": "reserved", "0": "not reserved"}.get(content.strip()), None)
    if name == "tdm-policy":
        return ("tdmrep", _bounded(content.strip()), None)
    return None


def _link(attributes: dict[str, str]) -> _Reading | None:
    rsl = attributes.get("type", "").partition(";")[0].strip().lower() == "application/rsl+xml"
    if rsl and "license" in attributes.get("rel", "").lower().split():
        return ("rsl", _bounded(attributes.get("href", "").strip()), None)
    return None


def _bounded(value: str) -> str | None:
    return storable(value, 512) or None


def _attributes(text: str, position: int) -> tuple[dict[str, str], int, int]:
    """The attributes of interest of the tag whose name ends at ``position``, where it ends, and how many were read.

    The first attribute of a name counts (HTML, 13.2.5.33).
    """
    attributes: dict[str, str] = {}
    number = 0
    while number < _ATTRIBUTES_MAX:
        match = _ATTRIBUTE.match(text, position)
        if match is None:
            break
        position, number = match.end(), number + 1
        name = match[1].lower()
        if name in _READ and name not in attributes:
            value = match[2] or match[3] or match[4] or ""
            attributes[name] = html.unescape(value[:_VALUE_CHARACTERS_MAX])
    end = _TAG_END.match(text, position)
    return attributes, position if end is None else end.end(), number


def _after(text: str, end: str, position: int) -> int:
    found = text.find(end, position)
    return len(text) if found < 0 else found + len(end)


def _ascii_lower(text: str) -> str:
    # str.lower() changes the length of some texts (İ), and with it all positions.
    return text.translate(_LOWER)


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def _text(body: bytes) -> str:
    """The octets as text.  What is looked for is ASCII, so any encoding that extends it may be read as UTF-8."""
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    return body.decode("utf-8", "replace")
