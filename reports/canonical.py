"""Canonical JSON (RFC 8785) of a record as it is shown: the octets that its digest is of."""

from __future__ import annotations

import json
import re
from typing import Any

_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


def canonical(value: Any) -> bytes:
    """Canonical JSON of a shown record (RFC 8785: keys by UTF-16 code units; there are no fractions)."""
    text = _json(value, sort_keys=True)
    if _ASTRAL.search(text):  # only there code points and UTF-16 code units can differ in their order
        text = _json(_ordered(value), sort_keys=False)
    return text.encode("utf-8", "surrogatepass")


def _json(value: Any, *, sort_keys: bool) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _ordered(value[key])
            for key in sorted(value, key=lambda k: str(k).encode("utf-16-be", "surrogatepass"))
        }
    return [_ordered(one) for one in value] if isinstance(value, list | tuple) else value
