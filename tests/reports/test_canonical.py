"""Canonical JSON is that of RFC 8785, whatever strangers wrote into it."""

from __future__ import annotations

import json

from reports.canonical import canonical


def test_names_are_ordered_by_utf_16_code_units() -> None:
    """RFC 8785 3.2.3: U+1F600, two code units, stands before U+FB33, one code unit, though its code point is higher."""
    assert canonical({"\ufb33": 1, "\U0001f600": 2, "a": [{"b": None, "a": True}]}) == (
        '{"a":[{"a":true,"b":null}],"\U0001f600":2,"\ufb33":1}'.encode()
    )


def test_text_is_escaped_as_little_as_may_be_and_lone_surrogates_do_not_fail() -> None:
    assert canonical({"a": '"\\\n\x7fé'}) == '{"a":"\\"\\\\\\n\x7fé"}'.encode()
    assert json.loads(canonical({"a": "x"})) == {"a": "x"}
    assert canonical("\ud800").startswith(b'"')
