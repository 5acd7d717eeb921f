"""The settings of how much is taken: sizes of messages, and how many connections."""

from __future__ import annotations

from pydantic import Field

from crawl_audit.errors import ConfigurationError
from crawl_audit.target import TARGET_BYTES_MAX
from proxy_addon.limits import CONNECTIONS_MAX, MessageLimits, connections_for, descriptors_for, raise_descriptors
from proxy_addon.policy_settings import Section

_KIB = 1024
_MIB = 1024 * 1024


class LimitSettings(Section):
    """How much one message, and all connections together, may take."""

    request_head_kib: int = Field(
        256,
        ge=8,
        le=1024,
        description="longest head of a request; a longer one gets 431 (nginx takes 32, Apache 8 a field)",
    )
    response_head_kib: int = Field(
        256, ge=8, le=1024, description="longest head of an answer; a longer one gets the crawler 502"
    )
    head_fields: int = Field(
        1000, ge=50, le=10_000, description="most fields of a head, either way (Apache takes 100, Node.js 2,000)"
    )
    request_target_bytes: int = Field(
        16 * _KIB,
        ge=8000,
        le=TARGET_BYTES_MAX,
        description="longest path and query; a longer one gets 414 (RFC 9112 asks for 8,000, sites take 8,192)",
    )
    request_body_mib: int = Field(
        1024,
        ge=0,
        description="largest body of a request; a larger one gets 413. Bodies are passed on as they come, so this"
        " saves no memory: it ends one that has no end; 0: none",
    )
    open_connections: int | None = Field(
        None,
        ge=16,
        le=50_000,
        description="most connections of crawlers; a request on one more gets 503. Not set: (open files - 200) / 2, at"
        f" most {CONNECTIONS_MAX}",
    )

    def messages(self) -> MessageLimits:
        """The sizes as plain values."""
        return MessageLimits(
            request_head_bytes=self.request_head_kib * _KIB,
            response_head_bytes=self.response_head_kib * _KIB,
            head_fields=self.head_fields,
            target_bytes=self.request_target_bytes,
            body_bytes=self.request_body_mib * _MIB,
        )

    def connections(self) -> int:
        """How many connections are served, after raising the process's limit of open files to what they need.

        Raises ConfigurationError where more are asked for than the process may have open files for.
        """
        descriptors = raise_descriptors(self.open_connections or CONNECTIONS_MAX)
        if self.open_connections is None:
            return connections_for(descriptors)
        if descriptors < (needed := descriptors_for(self.open_connections)):
            raise ConfigurationError(
                f"limits.open_connections is {self.open_connections}, which needs {needed} open files, and this process"
                f" may have {descriptors}: lower it, or raise the limit of open files (ulimit -n)."
            )
        return self.open_connections
