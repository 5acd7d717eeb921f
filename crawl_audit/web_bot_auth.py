"""Web Bot Auth: how the crawler identifies itself to the site by HTTP message signatures, as found in its request.

draft-meunier-webbotauth-httpsig-protocol-02: `Signature-Agent`, and `Signature-Input` with `tag="web-bot-auth"`.
Recorded is who signed and for how long; never the signature itself, which is of use only to whoever verifies it.
The fields are passed on untouched ("a proxy SHOULD NOT strip" them).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import http_sf

from crawl_audit.signals import RAW_CHARACTERS_MAX, FoundSignal
from crawl_audit.text import storable

PROTOCOL = "web-bot-auth"
_AGENT, _INPUT = b"signature-agent", b"signature-input"
_TAG = "web-bot-auth"
_SIGNATURES_MAX = 10
_PARAMETERS = ("keyid", "tag", "created", "expires")


def request_signals(fields: Iterable[tuple[bytes, bytes]]) -> list[FoundSignal]:
    """One signal for each signature with the tag, at most 10; one without a reading where only an agent is named.

    ``fields`` are names and values in any case and order, fields of one name in the order sent.
    """
    sent: dict[bytes, list[str]] = {_AGENT: [], _INPUT: []}
    for name, value in fields:
        if name[:10].lower() == b"signature-" and name.lower() in sent:  # seldom, and this is asked of every request
            sent[name.lower()].append(value.decode("utf-8", "replace"))
    agent_field, input_field = (storable(", ".join(sent[name]), RAW_CHARACTERS_MAX) for name in (_AGENT, _INPUT))
    if not agent_field and not input_field:
        return []
    agents = _agents(agent_field)
    found = []
    for label, parameters in _signatures(input_field):
        words = [f"{name}={parameters[name]}" for name in _PARAMETERS if name in parameters]
        agent = agents.get(label, agents.get(""))
        if agent is not None:
            words.append(f"signature-agent={agent}")
        found.append(_signal(f"Signature-Input: {input_field}", ", ".join(words)))
    if not found and agent_field:
        found.append(_signal(f"Signature-Agent: {agent_field}", None))
    return found


def _signatures(field: str) -> list[tuple[str, dict[str, str]]]:
    """(label, parameters) of each signature with our tag; none where the field cannot be read (RFC 9421 4.1)."""
    parsed = _dictionary(field)
    found = []
    for label, member in parsed.items():
        parameters = member[1] if isinstance(member, tuple) else {}
        if str(parameters.get("tag")) == _TAG:
            found.append((label, {name: str(value) for name, value in parameters.items()}))
    return found[:_SIGNATURES_MAX]


def _agents(field: str) -> dict[str, str]:
    """Label → URL of the signer; older drafts write one bare string, which stands under the empty label."""
    parsed = _dictionary(field)
    if parsed:
        return {label: str(member[0]) for label, member in parsed.items() if isinstance(member, tuple)}
    bare = field.strip()
    return {"": bare[1:-1]} if len(bare) > 2 and bare[0] == bare[-1] == '"' else {}


def _dictionary(field: str) -> Mapping[str, object]:
    try:
        parsed = http_sf.parse(field.encode("utf-8", "replace"), tltype="dictionary")
    except (http_sf.StructuredFieldError, ValueError, LookupError):
        return {}
    assert isinstance(parsed, dict)
    return parsed


def _signal(raw: str, value: str | None) -> FoundSignal:
    bounded = None if value is None else storable(value, 512)
    return FoundSignal(protocol=PROTOCOL, raw=storable(raw, RAW_CHARACTERS_MAX), value=bounded, scope=None)
