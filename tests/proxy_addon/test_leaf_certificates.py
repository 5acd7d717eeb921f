"""Certificates for hosts: one per host, the least recently used goes first, and nobody gets another host's."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from mitmproxy import certs

from proxy_addon import ca
from proxy_addon.leaf_certificates import LeafCertificates


@pytest.fixture
def store(tmp_path: Path) -> LeafCertificates:
    ca.ensure(tmp_path, datetime.datetime.now(datetime.UTC))
    return LeafCertificates.signed_by(tmp_path / ca.KEY_FILE)


def _shown(store: LeafCertificates, host: str) -> certs.CertStoreEntry:
    return store.get_cert(host, [x509.DNSName(host)])


def test_nothing_is_written_beside_the_key_because_a_mounted_secret_is_read_only(
    store: LeafCertificates, tmp_path: Path
) -> None:
    assert store.dhparams is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == [ca.CERTIFICATE_FILE, ca.KEY_FILE]


def test_a_host_is_shown_the_same_certificate_again_and_it_is_its_own(store: LeafCertificates) -> None:
    first, other = _shown(store, "a.example"), _shown(store, "b.example")
    assert _shown(store, "a.example") is first
    assert [str(name.value) for name in first.cert.altnames] == ["a.example"]
    assert [str(name.value) for name in other.cert.altnames] == ["b.example"]
    first.cert.to_cryptography().verify_directly_issued_by(store.default_ca.to_cryptography())


def test_the_certificate_not_asked_for_the_longest_time_goes_first(store: LeafCertificates) -> None:
    store.kept_max = 3
    kept, gone = _shown(store, "kept.example"), _shown(store, "gone.example")
    _shown(store, "c.example")
    assert _shown(store, "kept.example") is kept
    _shown(store, "d.example")
    assert _shown(store, "kept.example") is kept
    assert _shown(store, "gone.example") is not gone


def test_the_store_stays_within_its_bound(store: LeafCertificates) -> None:
    store.kept_max = 5
    for number in range(12):
        _shown(store, f"host-{number}.example")
    assert len(store.certs) == 5
    assert store.expire_queue == []


def test_names_that_differ_only_beside_the_first_are_two_certificates(store: LeafCertificates) -> None:
    both = store.get_cert("a.example", [x509.DNSName("a.example"), x509.DNSName("b.example")])
    assert _shown(store, "a.example") is not both
    assert store.get_cert(None, [x509.DNSName("a.example")]) is not both


def test_a_certificate_that_has_expired_is_made_anew(store: LeafCertificates, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _shown(store, "a.example")
    monkeypatch.setattr(certs.Cert, "has_expired", lambda cert: cert is first.cert)
    second = _shown(store, "a.example")
    assert second is not first
    assert _shown(store, "a.example") is second
