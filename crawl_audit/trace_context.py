"""The trace-id of a ``traceparent`` header field, by which a crawler's own traces are joined with its records.

W3C Trace Context (Recommendation of 2021-11-23), 3.2: ``00-<trace-id>-<parent-id>-<trace-flags>``, lower-case hex.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# 3.2.2.1: of version 00 only.  3.2.2.3 and 3.2.2.4: an identifier of zeros makes the whole field invalid.
_TRACEPARENT = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def trace_id(fields: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The trace-id that request header ``fields`` carry; None unless there is exactly one ``traceparent``, a valid one.

    The field is the crawler's: whatever else it holds is not looked at, and nothing of it can reach a record.
    """
    values = [value for name, value in fields if name.lower() == b"traceparent"]
    found = _TRACEPARENT.fullmatch(values[0].strip(b" \t")) if len(values) == 1 else None
    return found[1].decode("ascii") if found else None
