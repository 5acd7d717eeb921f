"""The boundary to mitmproxy: what a hook raises never lets a request through.

mitmproxy logs an exception in a hook and forwards the request (``addonmanager.safecall``), so every hook of ours is
wrapped here, and here alone stands ``except Exception``.  Cancellation passes: mitmproxy then never completes the
hook, and nothing leaves.
"""

from __future__ import annotations

import functools
import http as http_status
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from mitmproxy import http
from mitmproxy.connection import Client

from crawl_audit.errors import LogUnavailable
from proxy_addon import denial, layers
from proxy_addon.denial import Answer
from proxy_addon.recorder import Recorder, new_exchange_id

logger = logging.getLogger(__name__)


class HasRecorder(Protocol):
    """An addon whose hooks are wrapped."""

    recorder: Recorder


def decides[A: HasRecorder](
    hook: Callable[[A, http.HTTPFlow, str], Awaitable[Answer | None]],
) -> Callable[[A, http.HTTPFlow], Awaitable[None]]:
    """Make a hook of a function that returns the answer to give instead of forwarding, or None to forward.

    It is given a fresh exchange id.  Whatever it raises becomes a 503 with that id: the request does not leave.
    """

    @functools.wraps(hook)
    async def wrapped(addon: A, flow: http.HTTPFlow) -> None:
        recorder, identifier = addon.recorder, new_exchange_id()
        try:
            answer = await hook(addon, flow, identifier)
            if answer is not None:
                give(flow, answer)
        # The answer is given first: whatever fails after it, the request does not leave.
        except LogUnavailable as error:
            give(flow, denial.unrecorded(error.reason, str(error), identifier))
            recorder.metrics.fail_closed.labels(reason=error.reason).inc()
        except Exception as error:
            give(flow, denial.unrecorded("hook_error", "Deciding on the request failed.", identifier))
            logger.exception("A request was denied because deciding on it failed.")
            recorder.metrics.fail_closed.labels(reason="hook_error").inc()
            _record_failure(recorder, hook.__name__, error, flow.client_conn, identifier)

    return wrapped


def observes[A: HasRecorder](hook: Callable[[A, Any], Awaitable[None]]) -> Callable[[A, Any], Awaitable[None]]:
    """Make a hook of a function that only records; what it raises becomes an incident."""

    @functools.wraps(hook)
    async def wrapped(addon: A, subject: Any) -> None:
        try:
            await hook(addon, subject)
        except Exception as error:
            logger.exception("Recording failed in a hook.")
            client = getattr(subject, "client_conn", None) or getattr(subject, "client", subject)
            _record_failure(addon.recorder, hook.__name__, error, client)

    return wrapped


def _record_failure(
    recorder: Recorder, hook: str, error: Exception, client: Client, identifier: str | None = None
) -> None:
    """Record that a hook failed; where even that fails, the process's own log has to do."""
    try:
        recorder.incident("hook_error", f"{hook} failed: {error!r}", client, identifier)
    except Exception:
        logger.exception("An incident could not be recorded.")


def give(flow: http.HTTPFlow, answer: Answer) -> None:
    """Answer a request ourselves; nothing of it leaves."""
    flow.request.stream = False
    flow.metadata[layers.DENIED] = True
    now = time.time()
    flow.response = http.Response(
        http_version=b"HTTP/1.1",
        status_code=answer.status,
        reason=http_status.HTTPStatus(answer.status).phrase.encode("ascii"),
        headers=http.Headers(answer.fields),
        # mitmproxy would send a body in answer to HEAD and break the next answer on the connection.
        content=b"" if flow.request.method == "HEAD" else answer.body,
        trailers=None,
        timestamp_start=now,
        timestamp_end=now,
    )
