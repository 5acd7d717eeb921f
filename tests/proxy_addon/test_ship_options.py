"""Options come to the process that ships as they were given."""

from __future__ import annotations

import pytest

from crawl_audit.errors import ConfigurationError
from proxy_addon.ship_options import ShipOptions


def test_options_are_read_back_as_they_were_written() -> None:
    options = ShipOptions(url="s3://bucket/logs", keep_local_s=3600, object_lock_mode="compliance", object_lock_days=3)
    assert ShipOptions.from_json(options.to_json()) == options
    assert (options.address.bucket, options.address.prefix) == ("bucket", "logs")


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is not an address"):
        _ = ShipOptions(url="/var/log").address
