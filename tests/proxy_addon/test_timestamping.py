"""A token is kept only where it verifies; each way in which an authority can fail has its sentence."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from crawl_audit.errors import ConfigurationError
from crawl_audit.timestamp_token import certificates, request, verify_token
from proxy_addon.anchor_settings import TimestampSettings
from proxy_addon.posting import AnchorError
from proxy_addon.timestamping import TimestampAuthority
from tests import tsa
from tests.proxy_addon import anchored


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tsa.Authority:
    return tsa.make(tmp_path_factory.mktemp("tsa") / "a")


def asker(url: str, ca: Path, timeout_s: float = 10) -> TimestampAuthority:
    return TimestampAuthority(TimestampSettings(name="tsa", url=url, ca_file=ca), timeout_s)


def test_a_token_is_obtained_and_verified(authority: tsa.Authority, tmp_path: Path) -> None:
    shown = anchored.shown(anchored.make(tmp_path))
    with tsa.served(authority) as url:
        receipt = asker(url, authority.ca).ask(shown)
    stamp = verify_token(receipt.octets, shown.octets, certificates(authority.ca.read_bytes()))
    assert (receipt.stated_at, receipt.suffix, receipt.method) == (stamp.at, "tsr", "rfc3161")


def test_a_token_of_another_authority_is_not_kept(authority: tsa.Authority, tmp_path: Path) -> None:
    other = tsa.make(tmp_path / "other")
    with tsa.served(other) as url, pytest.raises(AnchorError, match="of no use"):
        asker(url, authority.ca).ask(anchored.shown(anchored.make(tmp_path / "log")))


def test_a_token_for_something_else_is_not_kept(authority: tsa.Authority, tmp_path: Path) -> None:
    """An answer to another request: neither its nonce nor its digest fits."""
    other = authority.answer(request(b"something else")[0])

    class Replaying(tsa.Authority):
        def answer(self, request: bytes) -> bytes:
            return other

    with tsa.served(Replaying(authority.directory)) as url, pytest.raises(AnchorError, match="of no use"):
        asker(url, authority.ca).ask(anchored.shown(anchored.make(tmp_path)))


def test_an_authority_that_refuses_or_is_silent_is_named(authority: tsa.Authority, tmp_path: Path) -> None:
    shown = anchored.shown(anchored.make(tmp_path))
    with tsa.served(503) as url, pytest.raises(AnchorError, match="tsa answered with HTTP status 503"):
        asker(url, authority.ca).ask(shown)
    with tsa.served(200) as url, pytest.raises(AnchorError, match="of no use"):
        asker(url, authority.ca).ask(shown)
    with tsa.served(threading.Event()) as url, pytest.raises(AnchorError, match="gave no answer"):
        asker(url, authority.ca, timeout_s=0.2).ask(shown)


def test_certificates_that_cannot_be_used_are_found_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="tsa cannot be read"):
        asker("http://tsa.example", tmp_path / "none.pem")
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        asker("http://tsa.example", tmp_path / "ca.pem")
