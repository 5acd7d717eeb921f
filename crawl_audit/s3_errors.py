"""What the error codes of the S3 protocol mean, for whoever ships and whoever reads."""

from __future__ import annotations

CLOCK = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
"""The request was signed at another time than the store has."""
CREDENTIALS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
)
"""The store does not know who asks."""
