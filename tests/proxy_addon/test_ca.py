"""The authority is made once, kept to its owner, and never silently replaced or started without."""

from __future__ import annotations

import datetime
import os
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from crawl_audit.errors import ConfigurationError
from proxy_addon import ca

NOW = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)


def refusal(directory: Path, *, make: bool = False, now: datetime.datetime = NOW) -> str:
    with pytest.raises(ConfigurationError) as caught:
        (ca.ensure if make else ca.load)(directory, now)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made")
    ca.ensure(directory, NOW)
    return directory


def test_a_new_authority_is_for_its_owner_alone_and_its_certificate_for_everybody(tmp_path: Path) -> None:
    previous = os.umask(0)  # the rights must not depend on it
    try:
        authority = ca.ensure(tmp_path / "new" / "ca", NOW)
    finally:
        os.umask(previous)
    key = authority.directory / ca.KEY_FILE
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(authority.certificate.stat().st_mode) == 0o644
    assert b"PRIVATE KEY" in key.read_bytes()
    assert b"PRIVATE KEY" not in authority.certificate.read_bytes()
    assert stat.S_IMODE(authority.directory.stat().st_mode) & 0o022 == 0


def test_the_certificate_is_one_of_an_authority_that_can_sign_nothing_but_sites(made: Path) -> None:
    authority = ca.load(made, NOW)
    certificate = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)
    assert list(extended) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc
    assert authority.fingerprint_sha256 == certificate.fingerprint(hashes.SHA256()).hex()
    certificate.verify_directly_issued_by(certificate)


def test_an_authority_that_is_there_is_used_and_left_as_it_is(made: Path) -> None:
    before = contents(made)
    assert ca.ensure(made, NOW) == ca.ensure(made, NOW + datetime.timedelta(days=1)) == ca.load(made, NOW)
    assert contents(made) == before


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"])
def test_a_key_file_that_holds_no_key_is_refused_and_never_overwritten(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ca.KEY_FILE).write_bytes(content)
    for make in (True, False):
        assert "does not hold a private key and certificate" in refusal(tmp_path, make=make)
    assert contents(tmp_path) == {ca.KEY_FILE: content}


@pytest.mark.parametrize("part", ["PRIVATE KEY", "CERTIFICATE"])
def test_half_an_authority_is_refused(tmp_path: Path, made: Path, part: str) -> None:
    pem = (made / ca.KEY_FILE).read_text()
    begin, end = f"-----BEGIN {part}-----", f"-----END {part}-----"
    (tmp_path / ca.KEY_FILE).write_text(pem[pem.index(begin) : pem.index(end) + len(end)] + "\n")
    assert "does not hold a private key and certificate" in refusal(tmp_path, make=True)


def test_an_encrypted_key_is_refused(tmp_path: Path, made: Path) -> None:
    key = serialization.load_pem_private_key((made / ca.KEY_FILE).read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"pass")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    (tmp_path / ca.KEY_FILE).write_bytes(pem + (made / ca.CERTIFICATE_FILE).read_bytes())
    assert "does not hold a private key" in refusal(tmp_path)


def test_the_key_of_one_authority_with_the_certificate_of_another_is_refused(tmp_path: Path, made: Path) -> None:
    other = ca.ensure(tmp_path / "other", NOW)
    pem = (made / ca.KEY_FILE).read_bytes()
    key = pem[: pem.index(b"-----BEGIN CERTIFICATE")]
    (tmp_path / ca.KEY_FILE).write_bytes(key + other.certificate.read_bytes())
    assert "belongs to another" in refusal(tmp_path, make=True)


def test_a_certificate_for_the_clients_that_is_not_the_authoritys_is_refused(tmp_path: Path, made: Path) -> None:
    """Crawlers would be told to trust what signs nothing, and every handshake would fail."""
    authority = ca.ensure(tmp_path / "stale", NOW)
    authority.certificate.write_bytes((made / ca.CERTIFICATE_FILE).read_bytes())
    assert "is not the certificate of" in refusal(tmp_path / "stale", make=True)


def test_a_left_over_certificate_without_a_key_makes_no_authority(tmp_path: Path, made: Path) -> None:
    (tmp_path / ca.CERTIFICATE_FILE).write_bytes((made / ca.CERTIFICATE_FILE).read_bytes())
    refusal(tmp_path, make=True)
    assert contents(tmp_path) == {ca.CERTIFICATE_FILE: (made / ca.CERTIFICATE_FILE).read_bytes()}


def test_a_missing_authority_is_not_made_by_loading(tmp_path: Path) -> None:
    assert "crawl-audit-proxy ca" in refusal(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_an_expired_authority_is_refused_and_one_that_soon_will_be_says_so(made: Path) -> None:
    authority = ca.load(made, NOW)
    assert "expired" in refusal(made, now=authority.not_after)
    assert "expired" in refusal(made, now=authority.not_after, make=True)
    last = authority.not_after - datetime.timedelta(seconds=1)
    assert ca.load(made, last).expires_soon(last)
    assert not authority.expires_soon(NOW)


@pytest.mark.parametrize("below", ["", "sub", "a/b"])
def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "name a writable directory with --ca" in refusal(tmp_path / "file" / below, make=True)


def test_a_directory_whose_name_cannot_be_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path / ("x" * 300), make=True)
    refusal(tmp_path / ("x" * 300))


def test_a_key_that_another_start_makes_at_the_same_moment_is_not_overwritten(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ca.KEY_FILE).write_bytes((made / ca.KEY_FILE).read_bytes())
    before = contents(tmp_path)
    monkeypatch.setattr(Path, "exists", lambda path: False)
    assert "cannot be made" in refusal(tmp_path, make=True)
    assert contents(tmp_path) == before


def test_a_key_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / ca.KEY_FILE).mkdir()
    refusal(tmp_path, make=True)


def test_a_key_that_cannot_be_read_is_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert "cannot be read: Permission denied" in refusal(made)


def test_a_directory_mounted_read_only_without_the_certificate_still_has_it_in_the_key_file(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ca.KEY_FILE).write_bytes((made / ca.KEY_FILE).read_bytes())

    def read_only(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(ca, "_write", read_only)
    authority = ca.load(tmp_path, NOW)
    assert authority.certificate == tmp_path / ca.KEY_FILE
    assert b"BEGIN CERTIFICATE" in authority.certificate.read_bytes()


def test_a_lost_certificate_is_written_again_from_the_key_file(tmp_path: Path, made: Path) -> None:
    (tmp_path / ca.KEY_FILE).write_bytes((made / ca.KEY_FILE).read_bytes())
    authority = ca.load(tmp_path, NOW)
    assert authority.certificate.read_bytes() == (made / ca.CERTIFICATE_FILE).read_bytes()
