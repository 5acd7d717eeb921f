"""Handing a checkpoint to somebody who keeps it: as a file in a directory of theirs, or by HTTP."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from crawl_audit.errors import ConfigurationError
from crawl_audit.records import Instant
from proxy_addon.anchor_settings import PushSettings
from proxy_addon.clock import now_us
from proxy_addon.log_directory import write_whole
from proxy_addon.posting import AnchorError, post
from proxy_addon.receipts import Receipt, Shown

METHOD = "push"


class Keeper:
    """One keeper of checkpoints."""

    def __init__(self, settings: PushSettings, timeout_s: float) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._headers = _authorization(settings)

    def ask(self, shown: Shown) -> Receipt:
        """Hand the note over; the receipt is our own record of having done so.  Raises AnchorError."""
        if self._settings.directory is not None:
            to = str(put_file(self._settings.directory, shown))
            status = None
        else:
            assert self._settings.url is not None, "a keeper has a directory or a URL"
            to, status = self._settings.url, self._post(self._settings.url, shown)
        return self._receipt(shown, to, status, now_us())

    def _post(self, url: str, shown: Shown) -> int:
        answer = post(
            url,
            shown.octets,
            content_type="text/plain; charset=utf-8",
            timeout_s=self._timeout_s,
            headers=self._headers,
        )
        if not 200 <= answer.status < 300:
            raise AnchorError(f"{self._settings.name} answered with HTTP status {answer.status}.")
        return answer.status

    def _receipt(self, shown: Shown, to: str, status: int | None, at: Instant) -> Receipt:
        text = {
            "format": "crawl-audit push v1",
            "log": shown.log,
            "authority": self._settings.name,
            "to": to,
            "at": at,
            "checkpoint_size": shown.head.size,
            "checkpoint_sha256": hashlib.sha256(shown.octets).hexdigest(),
            "http_status": status,
        }
        octets = (json.dumps(text, sort_keys=True) + "\n").encode("utf-8")
        # What we say ourselves is no outside time.
        return Receipt(method=METHOD, authority=self._settings.name, suffix="push.json", octets=octets, stated_at=None)


def put_file(directory: Path, shown: Shown) -> Path:
    """Put the note into a directory, never over another; AnchorError where that cannot be."""
    target = directory / f"{shown.log}.{shown.head.size:012d}.checkpoint"
    try:
        if target.exists():
            if target.read_bytes() == shown.octets:
                return target
            raise AnchorError(f"{target} holds another checkpoint and is left as it is.")
        write_whole(target, shown.octets, directory / f".{target.name}.{os.getpid()}")
    except OSError as error:
        raise AnchorError(f"The checkpoint cannot be put into {directory}: {error.strerror}.") from error
    return target


def _authorization(settings: PushSettings) -> dict[str, str]:
    if settings.token_file is None:
        return {}
    try:
        token = settings.token_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The token file of {settings.name} cannot be read: {error}.") from error
    if not token or not token.isprintable():
        raise ConfigurationError(f"The token file {settings.token_file} of {settings.name} holds no token.")
    return {"Authorization": f"Bearer {token}"}
