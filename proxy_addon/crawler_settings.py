"""The settings of who crawls: names, product tokens, and the secret by which the log tells crawlers apart."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from crawl_audit.errors import ConfigurationError
from crawl_audit.identity import Crawler
from proxy_addon.limits import CrawlerLimits
from proxy_addon.policy_settings import Identifier, Section

# RFC 9309 2.2.1: a product token MUST contain only these characters.
_PRODUCT_TOKEN = re.compile(r"[A-Za-z_-]+", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class CrawlerSettings(Section):
    """One crawler that may use the sidecar."""

    id: Identifier = Field(description="name of the crawler in the log and the reports")
    product_tokens: tuple[str, ...] = Field(
        min_length=1, description="RFC 9309 product tokens, the most specific first"
    )
    user_agent: str | None = Field(None, description="User-Agent it is expected to send; also used to fetch robots.txt")
    purpose: str | None = Field(None, description="declared purpose: training, search, user_fetch, research, other")
    contact: str | None = Field(None, description="where a site's owner can write to")
    token_sha256: str | None = Field(None, description="SHA-256 (hex) of the proxy token it must present")
    token_file: Path | None = Field(None, description="file that holds the proxy token it must present")

    max_open_exchanges: int | None = Field(
        None, ge=1, description="most requests of it that may be open at once; one more gets 429; not set: no limit"
    )
    requests_per_s: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="most requests (and CONNECTs) a second, over all sites; a second's worth, or 10, may come at once;"
        " more get 429; not set: no limit",
    )

    @field_validator("product_tokens")
    @classmethod
    def _tokens_are_rfc_9309(cls, tokens: tuple[str, ...]) -> tuple[str, ...]:
        for token in tokens:
            if not _PRODUCT_TOKEN.fullmatch(token):
                raise ValueError(f"{token!r} is not a product token: only letters, '_' and '-' (RFC 9309 2.2.1)")
        return tokens

    @field_validator("token_sha256")
    @classmethod
    def _digest_is_hex(cls, digest: str | None) -> str | None:
        if digest is not None and not _SHA256.fullmatch(digest):
            raise ValueError("must be 64 lower-case hexadecimal digits: the SHA-256 of the token")
        return digest

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if self.token_file and self.token_sha256:
            raise ValueError("give token_file or token_sha256, not both")
        return self

    def limits(self) -> CrawlerLimits:
        """Its limits as plain values."""
        return CrawlerLimits(open_exchanges=self.max_open_exchanges, requests_per_s=self.requests_per_s)

    def crawler(self) -> Crawler:
        """The kernel's value, with the digest of the token instead of the token; reads ``token_file``."""
        digest = self.token_sha256
        if self.token_file is not None:
            try:
                token = self.token_file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigurationError(f"The token file of crawler {self.id} cannot be read: {error}.") from error
            if not token:
                raise ConfigurationError(f"The token file {self.token_file} of crawler {self.id} is empty.")
            digest = hashlib.sha256(token.encode("utf-8")).hexdigest()
        return Crawler(
            id=self.id,
            product_tokens=self.product_tokens,
            user_agent=self.user_agent,
            purpose=self.purpose,
            contact=self.contact,
            secret_sha256=digest,
        )
