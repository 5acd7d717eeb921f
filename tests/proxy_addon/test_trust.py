"""Origin servers are verified with certifi and what the operator adds, never with the operating system's bundle."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import certifi
import pytest
import trustme

from crawl_audit.errors import ConfigurationError
from proxy_addon import trust


def fingerprints(context: ssl.SSLContext) -> set[bytes]:
    return {hashlib.sha256(der).digest() for der in context.get_ca_certs(binary_form=True)}


@pytest.fixture(scope="module")
def private_ca() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


def test_the_bundle_in_force_is_certifis_and_its_digest_is_of_its_octets(tmp_path: Path) -> None:
    made = trust.build(None, tmp_path / "bundle.pem")
    assert made.bundle == Path(certifi.where())
    assert made.sha256 == hashlib.sha256(made.bundle.read_bytes()).hexdigest()
    assert not (tmp_path / "bundle.pem").exists()


def test_an_added_authority_is_trusted_beside_certifis(tmp_path: Path, private_ca: trustme.CA) -> None:
    extra = tmp_path / "extra.pem"
    private_ca.cert_pem.write_to_path(extra)
    plain = trust.build(None, tmp_path / "unused")
    made = trust.build(extra, tmp_path / "bundle.pem")
    assert made.bundle == tmp_path / "bundle.pem"
    assert made.sha256 == hashlib.sha256(made.bundle.read_bytes()).hexdigest() != plain.sha256
    added = {hashlib.sha256(ssl.PEM_cert_to_DER_cert(private_ca.cert_pem.bytes().decode())).digest()}
    assert fingerprints(made.context()) == fingerprints(plain.context()) | added
    assert fingerprints(plain.context()).isdisjoint(added)


def test_nothing_from_the_environment_or_the_system_is_trusted(
    tmp_path: Path, private_ca: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = tmp_path / "system.pem"
    private_ca.cert_pem.write_to_path(extra)
    before = fingerprints(trust.build(None, tmp_path / "unused").context())
    monkeypatch.setenv("SSL_CERT_FILE", str(extra))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert fingerprints(trust.build(None, tmp_path / "unused").context()) == before


def test_certificate_and_name_are_verified_with_tls_12_at_least(tmp_path: Path) -> None:
    context = trust.build(None, tmp_path / "unused").context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is True
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_a_certificate_is_refused(tmp_path: Path, content: bytes) -> None:
    extra = tmp_path / "extra.pem"
    extra.write_bytes(content)
    with pytest.raises(ConfigurationError, match="holds no certificate in PEM"):
        trust.build(extra, tmp_path / "bundle.pem")
    assert not (tmp_path / "bundle.pem").exists()


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for extra in (tmp_path / "missing.pem", tmp_path):
        with pytest.raises(ConfigurationError, match=r"upstream\.trusted_ca: .* cannot be read: "):
            trust.build(extra, tmp_path / "bundle.pem")


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, private_ca: trustme.CA) -> None:
    extra = tmp_path / "extra.pem"
    private_ca.cert_pem.write_to_path(extra)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        trust.build(extra, tmp_path / "missing" / "bundle.pem")
