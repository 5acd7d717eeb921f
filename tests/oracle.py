"""A second reading of RFC 9309, written for plainness and not for speed, that the kernel's answers are compared with.

It shares no code with the product: line by line from the RFC's text, regular expressions for patterns, no index.
"""

from __future__ import annotations

import re

UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


def allowed(robots: str, token: str, path: str) -> bool:
    """Whether ``path`` may be fetched by the crawler ``token`` (RFC 9309 2.2); grammar-conforming files only."""
    if path.partition("?")[0] == "/robots.txt":
        return True
    groups = parse(robots)
    governing = [rules for agents, rules in groups if token.lower() in agents]
    if not governing:
        governing = [rules for agents, rules in groups if "*" in agents]
    best = (0, True)
    for rules in governing:
        for is_allow, pattern in rules:
            if pattern and (fits(pattern, path) or fits(query_encoded(pattern), query_encoded(path))):
                best = max(best, (octets(pattern), is_allow))
    return best[1]


def parse(robots: str) -> list[tuple[set[str], list[tuple[bool, str]]]]:
    """Groups as (lower-case agents, rules as (is allow, pattern))."""
    groups: list[tuple[set[str], list[tuple[bool, str]]]] = []
    open_for_agents = False
    for line in re.split(r"\r\n|\r|\n", robots):
        key, colon, value = (part.strip(" \t") for part in line.split("#")[0].partition(":"))
        if not colon:
            continue
        if key.lower() == "user-agent":
            if not open_for_agents:
                groups.append((set(), []))
                open_for_agents = True
            groups[-1][0].add(value.lower())
        elif key.lower() in ("allow", "disallow") and groups:
            open_for_agents = False
            groups[-1][1].append((key.lower() == "allow", value))
    return groups


def comparable(text: str, keep: str) -> str:
    """Percent-encoding as RFC 9309 2.2.2 wants it before a comparison; ``keep``: what stays special."""
    out, index = "", 0
    while index < len(text):
        char = text[index]
        if re.match(r"%[0-9A-Fa-f]{2}", text[index:]):
            octet = chr(int(text[index + 1 : index + 3], 16))
            out += octet if UNRESERVED.match(octet) else text[index : index + 3].upper()
            index += 3
            continue
        if ord(char) > 126 or (char in "*$" and char not in keep):
            out += "".join(f"%{octet:02X}" for octet in char.encode())
        else:
            out += char
        index += 1
    return out


def query_encoded(text: str) -> str:
    """Figure 4: delimiters in the query percent-encoded, as in `?baz=https%3A%2F%2Ffoo.bar`."""
    path, mark, query = text.partition("?")
    return path + mark + "".join(f"%{ord(char):02X}" if char in ":/?[]@" else char for char in query)


def fits(pattern: str, path: str) -> bool:
    """Whether ``pattern`` matches ``path`` from its first octet (RFC 9309 2.2.2)."""
    return expression(pattern).match(comparable(path, keep="")) is not None


def octets(pattern: str) -> int:
    """Length of a pattern for "the most octets": encoded, with `*` and `$` as one octet each."""
    return len(comparable(pattern, keep="*$"))


def expression(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression: `*` anything, `$` the end, the rest literal."""
    end = pattern.endswith("$")
    parts = [re.escape(comparable(part, keep="")) for part in (pattern[:-1] if end else pattern).split("*")]
    return re.compile(".*".join(parts) + (r"\Z" if end else ""), re.DOTALL)
