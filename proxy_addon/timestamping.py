"""Asking an RFC 3161 timestamp authority to certify when a checkpoint existed, and verifying what it answers.

A token fixes the time of a history and not that it is the only one: two rival logs can both be stamped.
"""

from __future__ import annotations

from pathlib import Path

from crawl_audit import timestamp_token
from crawl_audit.errors import ConfigurationError, LogFormatError
from proxy_addon.anchor_settings import TimestampSettings
from proxy_addon.posting import AnchorError, post
from proxy_addon.receipts import Receipt, Shown

METHOD = "rfc3161"


class TimestampAuthority:
    """One authority and the certificates its tokens are verified with."""

    def __init__(self, settings: TimestampSettings, timeout_s: float) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._roots = _roots(settings.ca_file, settings.name)
        timestamp_token.request(b"probe")  # a missing extra is found at the start and not an hour later

    def ask(self, shown: Shown) -> Receipt:
        """A token over the note, verified; raises AnchorError."""
        query, nonce = timestamp_token.request(shown.octets)
        answer = post(self._settings.url, query, content_type="application/timestamp-query", timeout_s=self._timeout_s)
        if answer.status != 200:
            raise AnchorError(f"{self._settings.name} answered with HTTP status {answer.status}.")
        try:
            stamp = timestamp_token.verify_token(answer.body, shown.octets, self._roots, nonce=nonce)
        except LogFormatError as error:
            raise AnchorError(f"The token of {self._settings.name} is of no use: {error}") from error
        return Receipt(
            method=METHOD,
            authority=self._settings.name,
            suffix="tsr",
            octets=answer.body,
            stated_at=stamp.at,
        )


def _roots(path: Path, name: str) -> list[timestamp_token.Certificate]:
    try:
        return timestamp_token.certificates(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"The certificates of {name} cannot be read: {error}.") from error
    except LogFormatError as error:
        raise ConfigurationError(f"The file {path} of {name} cannot be used: {error}") from error
