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

from crawl_audit import trace_context
from crawl_audit.errors import LogUnavailable
from proxy_addon import denial, layers
from proxy_addon.denial import Answer
from proxy_addon.operational_log import about, without_secrets
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
                recorder.answered(answer.reason)
        # The answer is given first: whatever fails after it, the request does not leave.
        except LogUnavailable as error:
            give(flow, denial.unrecorded(error.reason, str(error), identifier))
            _count_refusal(recorder, error.reason)
        except Exception as error:
            give(flow, denial.unrecorded("hook_error", "Deciding on the request failed.", identifier))
            trace = trace_context.trace_id(flow.request.headers.fields)
            logger.exception(
                "A request was denied because deciding on it failed.",
                extra=about("hook_error", exchange_id=identifier, trace_id=trace),
            )
            _record_failure(recorder, "hook_error", f"{hook.__name__} failed: {error!r}", flow.client_conn, identifier)

    return wrapped


def observes[A: HasRecorder](hook: Callable[[A, Any], Awaitable[None]]) -> Callable[[A, Any], Awaitable[None]]:
    """Make a hook of a function that only records; what it raises becomes an incident."""

    @functools.wraps(hook)
    async def wrapped(addon: A, subject: Any) -> None:
        try:
            await hook(addon, subject)
        except LogUnavailable as error:  # the log's trouble and no fault here; incidents are kept until it is over
            logger.warning("What was observed could not be recorded: %s", error, extra=about("not_recorded"))
            _record_failure(addon.recorder, "not_recorded", f"{hook.__name__}: {error}", _client_of(subject))
        except Exception as error:
            logger.exception("Recording failed in a hook.", extra=about("hook_error"))
            _record_failure(addon.recorder, "hook_error", f"{hook.__name__} failed: {error!r}", _client_of(subject))

    return wrapped


def _count_refusal(recorder: Recorder, reason: str) -> None:
    """Count a refusal, in the log as well; where even that fails, the request has been refused all the same."""
    try:
        recorder.refused(reason)
        recorder.log.refused(reason)
    except Exception:
        logger.exception("A refusal could not be counted.", extra=about("not_recorded"))


def _client_of(subject: Any) -> Client:
    """The client connection of whatever mitmproxy hands to a hook."""
    found: Client = getattr(subject, "client_conn", None) or getattr(subject, "client", subject)
    return found


def _record_failure(recorder: Recorder, word: str, detail: str, client: Client, identifier: str | None = None) -> None:
    """Record that a hook failed; where even that fails, the process's own log has to do."""
    try:
        if identifier is not None:
            recorder.refused("hook_error")
        recorder.incident(word, without_secrets(detail), client, identifier)
    except Exception:
        logger.exception("An incident could not be recorded.", extra=about("not_recorded"))


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


class contained:  # noqa: N801 - a context manager reads as a word; a class, because a generator takes a tenth of an event
    """Whatever mitmproxy's layers or addons raise is told, as mitmproxy tells it, and ends there."""

    __slots__ = ("_tell",)

    def __init__(self, tell: Callable[[Exception], object]) -> None:
        self._tell = tell

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self._tell(error)
        return True
