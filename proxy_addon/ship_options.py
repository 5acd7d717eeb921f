"""What the process that ships needs to know, as plain values that fit on its command line; never a secret."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from crawl_audit import object_address
from crawl_audit.object_address import ObjectAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipOptions:
    """Where to, how it is to lie there, and how patient to be; see the settings in ship_settings.py."""

    url: str
    keep_local_s: float | None = None
    spool_bytes: int = 10 * 2**30
    checkpoint_interval_s: float = 60
    retry_first_s: float = 1
    retry_longest_s: float = 300
    request_timeout_s: float = 30
    object_lock_mode: str | None = None
    object_lock_days: int = 0
    server_side_encryption: str | None = None
    kms_key_id: str | None = None

    @property
    def address(self) -> ObjectAddress:
        """Where to; raises ConfigurationError."""
        return object_address.parse(self.url)

    def to_json(self) -> str:
        """These options as one argument of a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ShipOptions:
        """What :meth:`to_json` wrote."""
        return cls(**json.loads(text))
