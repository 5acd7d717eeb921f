"""Settings of shipping are refused in one sentence where they contradict themselves."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proxy_addon.ship_settings import ShipSettings


def test_without_an_address_nothing_is_shipped() -> None:
    assert ShipSettings().options() is None


def test_settings_become_options_in_seconds_and_octets() -> None:
    settings = ShipSettings(
        url="s3://bucket/logs/", keep_local_h=2, spool_mib=3, server_side_encryption="aws:kms", kms_key_id="alias/logs"
    )
    options = settings.options()
    assert options is not None
    assert (options.url, options.keep_local_s, options.spool_bytes) == ("s3://bucket/logs", 7200, 3 * 2**20)
    assert (options.server_side_encryption, options.kms_key_id) == ("aws:kms", "alias/logs")
    assert "aws:kms" in options.to_json() and "KMS" not in options.to_json().replace("aws:kms", "")


@pytest.mark.parametrize(
    "given,says",
    [
        ({"url": "https://bucket"}, "write s3://bucket/prefix"),
        ({"url": "s3://key:secret@bucket"}, "come from the environment"),
        ({"url": "s3://bucket", "object_lock_mode": "compliance"}, "belong together"),
        ({"url": "s3://bucket", "object_lock_days": 3}, "belong together"),
        ({"url": "s3://bucket", "object_lock_mode": "legal-hold", "object_lock_days": 3}, "governance"),
        ({"url": "s3://bucket", "kms_key_id": "alias/logs"}, "kms_key_id goes with"),
        ({"url": "s3://bucket", "retry_first_s": 9, "retry_longest_s": 3}, "is longer than"),
        ({"keep_local_h": 24}, "url is missing"),
        ({"url": "s3://bucket", "keep_local_h": 0.5}, "greater than or equal to 1"),
        ({"url": "s3://bucket", "secret": "x"}, "Extra inputs"),
    ],
    ids=range(10),
)
def test_what_contradicts_itself_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ShipSettings(**given)
