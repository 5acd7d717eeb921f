"""The sidecar's own log, apart from the evidence: one JSON object a line, without secrets, never waited for.

Every line has ``ts``, ``level``, ``event`` (a fixed word), ``message`` (a sentence) and ``source``; ``exchange_id`` and
``trace_id`` where the line is about one exchange, ``worker`` where there are several.  It may be lost, cut or thrown
away: nothing rests on it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Mapping

from proxy_addon.output import Lines
from proxy_addon.repetition import Repetition

_MESSAGE_MAX = 2000
_TRACEBACK_MAX = 4000
# What a library may quote in a warning: queries and credentials of URLs, and fields that carry secrets.
_SECRETS = (
    (re.compile(r"(?i)\b((?:https?|wss?)://)[^\s/@\"'<>]+@"), r"\1…@"),
    (re.compile(r"\?[^\s\"'<>?]*=[^\s\"'<>]*"), "?…"),
    (
        re.compile(r"(?i)((?:proxy-)?authorization|(?:set-)?cookie)(['\"]?\s*[:=,]\s*b?['\"]?)[^\r\n'\"]+"),
        r"\1\2…",
    ),
    (re.compile(r"(?i)\b(basic|bearer)\s+[A-Za-z0-9+/=._~-]{4,}"), r"\1 …"),
)


def about(event: str, *, exchange_id: str | None = None, trace_id: str | None = None) -> Mapping[str, object]:
    """The ``extra`` of a logging call: the fixed word of its event and, where there is one, the exchange."""
    return {"event": event, "exchange_id": exchange_id, "trace_id": trace_id}


def without_secrets(text: str) -> str:
    """A text in which queries and credentials are replaced by an ellipsis."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class _JsonLines(logging.Formatter):
    def __init__(self, worker: int | None) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": getattr(record, "event", None) or record.name.rpartition(".")[2],
            "message": without_secrets(record.getMessage()[:_MESSAGE_MAX]),
            "source": record.name,
        }
        if self._worker is not None:
            line["worker"] = self._worker
        for name in ("exchange_id", "trace_id"):
            if (value := getattr(record, name, None)) is not None:
                line[name] = value
        if record.exc_info:
            line["exception"] = without_secrets(self.formatException(record.exc_info)[-_TRACEBACK_MAX:])
        return json.dumps(line, ensure_ascii=True)


class _QueueingHandler(logging.Handler):
    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.say(self.format(record))

    def flush(self) -> None:
        self._lines.settle()


def configure(worker: int | None = None) -> Lines:
    """Warnings of everything and notices of ours, on standard error; the lines, which count what was dropped.

    ``worker``: the number of this process where a sidecar has several; its lines bear it.
    """
    lines = Lines(sys.stderr, "stderr")
    handler = _QueueingHandler(lines)
    handler.setFormatter(_JsonLines(worker))
    handler.addFilter(Repetition())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # mitmproxy says at info level what every connection does; formatting that costs more than the proxying.
    logging.getLogger("crawl_audit").setLevel(logging.INFO)
    # TLS keys must not be written to a file because a variable happens to be set (mitmproxy/net/tls.py).
    for name in ("SSLKEYLOGFILE", "MITMPROXY_SSLKEYLOGFILE"):
        os.environ.pop(name, None)
    return lines
