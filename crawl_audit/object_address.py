"""Where a fleet's logs lie in an object store: ``s3://bucket/prefix``, and nothing else, read strictly.

An address says which bucket and below which prefix; who may read there and which endpoint serves it comes from the
environment, so that an address can be shown, recorded and put into a command line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from crawl_audit.errors import ConfigurationError

SCHEME = "s3://"
# Amazon S3 User Guide, "General purpose bucket naming rules": 3 to 63 of these.  Other stores allow no more.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# Amazon S3 User Guide, "Naming Amazon S3 objects": the characters that are safe in a key everywhere.
_PART = re.compile(r"[A-Za-z0-9!_.*'()=-]+")
_PREFIX_MAX = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectAddress:
    """A bucket and a prefix in it, without slashes at its ends; the prefix may be empty."""

    bucket: str
    prefix: str = ""

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}" if self.prefix else f"{SCHEME}{self.bucket}"

    def key(self, relative: str) -> str:
        """The key in the bucket of what lies at ``relative`` below the prefix."""
        return f"{self.prefix}/{relative}" if self.prefix else relative

    def relative(self, key: str) -> str:
        """What lies at a key of the bucket, as seen from the prefix; ConfigurationError where that is elsewhere."""
        if self.prefix and not key.startswith(f"{self.prefix}/"):
            raise ConfigurationError(f"The object {key} does not lie below {self}.")
        return key[len(self.prefix) + 1 :] if self.prefix else key

    def below(self, relative: str) -> ObjectAddress:
        """The address of a directory below this one."""
        return parse(f"{self}/{relative}")


def is_object_address(text: str) -> bool:
    """Whether a LOG argument names an object store rather than a directory."""
    return text.lower().startswith(SCHEME)


def parse(text: str) -> ObjectAddress:
    """Read ``s3://bucket/prefix``; raises ConfigurationError with one sentence for anything else."""
    if not text.startswith(SCHEME):
        raise ConfigurationError(f"{_shown(text)} is not an address of an object store: write s3://bucket/prefix.")
    bucket, _, prefix = text[len(SCHEME) :].partition("/")
    if "@" in bucket or ":" in bucket:
        raise ConfigurationError(
            "The address of the object store has a user, password or port in it: credentials and the endpoint come"
            " from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and so on)."
        )
    if any(sign in text for sign in "?#"):
        raise ConfigurationError(f"{_shown(text)} has a query or fragment: write s3://bucket/prefix alone.")
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise ConfigurationError(f"{_shown(text)} names no bucket: write s3://bucket/prefix.")
    prefix = prefix.removesuffix("/")
    parts = prefix.split("/") if prefix else []
    if len(prefix) > _PREFIX_MAX or any(part in (".", "..") or not _PART.fullmatch(part) for part in parts):
        raise ConfigurationError(
            f"The prefix of {_shown(text)} is not one: use letters, digits and - _ . = between single slashes,"
            f" {_PREFIX_MAX} characters at most."
        )
    return ObjectAddress(bucket=bucket, prefix=prefix)


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 120 else text[:119] + "…")
