"""The settings of who signs a log's heads and who outside is shown them."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from crawl_audit.errors import LogFormatError
from crawl_audit.seal import Verifier
from crawl_audit.witness import Cosigner
from proxy_addon.policy_settings import Identifier, Section

Seconds = Annotated[float, Field(gt=0, le=600)]


def _is_http(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not a URL that begins with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL with a password in it would be recorded in the log: use token_file")
    return url


Url = Annotated[str, AfterValidator(_is_http)]


class SigningSettings(Section):
    """Whose key signs the checkpoints; without any of these, a key made at each start and kept in memory only."""

    key_file: Path | None = Field(None, description="private key made by `crawl-audit-proxy key`")
    command: tuple[str, ...] = Field((), description="command that signs: text on stdin, signature or note on stdout")
    vkey: str | None = Field(None, description="public key (vkey) under which `command` signs")
    timeout_s: Seconds = Field(10, description="longest wait for `command`")

    @field_validator("vkey")
    @classmethod
    def _is_vkey(cls, vkey: str | None) -> str | None:
        return vkey if vkey is None else _parsed(Verifier, vkey)

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.key_file is not None and self.command:
            raise ValueError("give key_file or command, not both")
        if bool(self.command) != (self.vkey is not None):
            raise ValueError("command and vkey belong together: the one signs, the other says under which key")
        return self


def _parsed(kind: type[Verifier], vkey: str) -> str:
    try:
        return kind.parse(vkey).vkey
    except LogFormatError as error:
        raise ValueError(str(error)) from error


class TimestampSettings(Section):
    """One RFC 3161 timestamp authority."""

    name: Identifier = Field(description="name of the authority in file names and records")
    url: Url = Field(description="where requests are posted")
    ca_file: Path = Field(description="PEM file of the certificates its tokens are verified with")


class WitnessSettings(Section):
    """One C2SP witness."""

    name: Identifier = Field(description="name of the witness in file names and records")
    url: Url = Field(description="its submission prefix, before /add-checkpoint")
    vkey: str = Field(description="its public key (vkey, type 4)")

    @field_validator("vkey")
    @classmethod
    def _is_vkey(cls, vkey: str) -> str:
        return _parsed(Cosigner, vkey)


class PushSettings(Section):
    """One place where checkpoints are put, for whoever keeps them."""

    name: Identifier = Field(description="name of the keeper in file names and records")
    directory: Path | None = Field(None, description="directory, for example a mount with object lock")
    url: Url | None = Field(None, description="where checkpoints are posted")
    token_file: Path | None = Field(None, description="file that holds the bearer token for `url`")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.directory is None) == (self.url is None):
            raise ValueError("give directory or url")
        if self.token_file is not None and self.url is None:
            raise ValueError("token_file goes with url")
        return self


class AnchorSettings(Section):
    """Who outside is shown the heads of the log, and how often."""

    interval_s: Annotated[float, Field(ge=1, le=7 * 86_400)] = Field(
        3600, description="time between two rounds of showing the log's head"
    )
    timeout_s: Seconds = Field(20, description="longest wait for one authority's answer")
    timestamps: tuple[TimestampSettings, ...] = Field((), description="RFC 3161 timestamp authorities")
    witnesses: tuple[WitnessSettings, ...] = Field((), description="C2SP witnesses")
    pushes: tuple[PushSettings, ...] = Field((), description="where checkpoints are put")

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        names = [one.name for one in self.timestamps] + [one.name for one in self.witnesses]
        names += [one.name for one in self.pushes]
        if len(set(names)) != len(names):
            raise ValueError("each authority, witness and keeper needs a name of its own")
        return self

    @property
    def configured(self) -> bool:
        """Whether anybody is to be shown anything."""
        return bool(self.timestamps or self.witnesses or self.pushes)


def without_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded settings without the places where secrets lie."""
    signing = {**values["signing"], "key_file": values["signing"]["key_file"] is not None}
    pushes = [{**push, "token_file": push["token_file"] is not None} for push in values["anchors"]["pushes"]]
    return {**values, "signing": signing, "anchors": {**values["anchors"], "pushes": pushes}}
