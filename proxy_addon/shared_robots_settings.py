"""The settings of where fetched robots.txt files are shared, and by which key what comes from there is believed."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from crawl_audit.errors import ConfigurationError
from proxy_addon.policy_settings import Section

_KEY_BYTES_MIN = 16
_KEY_BYTES_MAX = 4096


class SharedRobotsSettings(Section):
    """A store that several sidecars share, so that a site is asked for its robots.txt once for all of them."""

    shared: str | None = Field(
        None,
        description="store of fetched robots.txt files that sidecars share: redis://… or, with TLS, rediss://…",
    )
    shared_key_file: Path | None = Field(
        None,
        description="file with a secret all of these sidecars know; answers from the store are then believed only where"
        " they are authenticated by it",
    )

    @field_validator("shared")
    @classmethod
    def _is_a_store(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urllib.parse.urlsplit(url)
            usable = parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0 and not parts.fragment
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("the store is not named by a URL of the form redis://HOST:PORT/0 or rediss://HOST:PORT/0")
        return url

    @model_validator(mode="after")
    def _a_key_has_a_store(self) -> Self:
        if self.shared_key_file is not None and self.shared is None:
            raise ValueError("shared_key_file goes with shared, the store whose answers it authenticates")
        return self

    def shared_key(self) -> bytes | None:
        """The secret in ``shared_key_file``; raises ConfigurationError where it is not one."""
        path = self.shared_key_file
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                key = file.read(_KEY_BYTES_MAX + 1).strip()
        except OSError as error:
            raise ConfigurationError(
                f"robots.shared_key_file: the file {path} cannot be read: {error.strerror}."
            ) from error
        if not _KEY_BYTES_MIN <= len(key) <= _KEY_BYTES_MAX:
            raise ConfigurationError(
                f"robots.shared_key_file: {path} does not hold a secret of {_KEY_BYTES_MIN} to {_KEY_BYTES_MAX} octets;"
                " make one, for example by `openssl rand -hex 32`."
            )
        return key


def without_secrets(url: str) -> str:
    """The URL of a store without user name, password and options: what may be recorded and told."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def recorded(robots: Mapping[str, Any]) -> dict[str, Any]:
    """The section ``robots`` as it is recorded."""
    url = robots["shared"]
    return {
        **robots,
        "shared": None if url is None else without_secrets(url),
        "shared_key_file": robots["shared_key_file"] is not None,
    }
