"""The authority is made once, kept to its owner, and never silently replaced or started without."""

from __future__ import annotations

import dataclasses
import datetime
import os
import ssl
import stat
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import NameOID

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


def key_file(directory: Path, content: bytes, mode: int = 0o600) -> Path:
    path = directory / ca.KEY_FILE
    path.write_bytes(content)
    path.chmod(mode)
    return path


def company(
    directory: Path,
    key: PrivateKeyTypes,
    *extensions: x509.ExtensionType,
    not_before: datetime.datetime = NOW - datetime.timedelta(days=1),
) -> Path:
    """A key file as a company's own PKI would make it, with ``extensions`` beside the least there must be."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example Corp. Egress CA")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())  # type: ignore[arg-type]
    builder = builder.serial_number(1).not_valid_before(not_before).not_valid_after(NOW + datetime.timedelta(days=90))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = builder.sign(key, digest)  # type: ignore[arg-type]
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key_file(directory, encoded + certificate.public_bytes(serialization.Encoding.PEM))


def usage(*, key_cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )


IS_CA = x509.BasicConstraints(ca=True, path_length=None)


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
    for make in (True, False):
        assert "is encrypted" in refusal(tmp_path, make=make)


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
    key_file(tmp_path, (made / ca.KEY_FILE).read_bytes())

    def read_only(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(ca, "_write", read_only)
    authority = ca.load(tmp_path, NOW)
    assert authority.certificate == tmp_path / ca.KEY_FILE
    assert b"BEGIN CERTIFICATE" in authority.certificate.read_bytes()


def test_a_lost_certificate_is_written_again_from_the_key_file(tmp_path: Path, made: Path) -> None:
    key_file(tmp_path, (made / ca.KEY_FILE).read_bytes())
    authority = ca.load(tmp_path, NOW)
    assert authority.certificate.read_bytes() == (made / ca.CERTIFICATE_FILE).read_bytes()


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o606, 0o777])
def test_a_key_that_everybody_can_read_or_replace_is_refused(tmp_path: Path, made: Path, mode: int) -> None:
    key_file(tmp_path, (made / ca.KEY_FILE).read_bytes(), mode)
    sentence = refusal(tmp_path, make=True)
    assert f"mode {mode:04o}" in sentence
    assert "chmod o-rwx" in sentence


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o660])
def test_a_secret_that_kubernetes_opens_to_a_group_is_taken(tmp_path: Path, made: Path, mode: int) -> None:
    key_file(tmp_path, (made / ca.KEY_FILE).read_bytes(), mode)
    assert ca.load(tmp_path, NOW).fingerprint_sha256 == ca.load(made, NOW).fingerprint_sha256


def test_a_directory_in_which_everybody_can_replace_the_key_is_refused(tmp_path: Path, made: Path) -> None:
    key_file(tmp_path, (made / ca.KEY_FILE).read_bytes())
    tmp_path.chmod(0o777)
    assert "chmod o-w" in refusal(tmp_path)
    tmp_path.chmod(0o1777)
    ca.load(tmp_path, NOW)


def test_an_rsa_authority_of_a_company_is_taken(tmp_path: Path) -> None:
    company(tmp_path, rsa.generate_private_key(65537, 2048), IS_CA, usage(key_cert_sign=True))
    authority = ca.load(tmp_path, NOW)
    assert b"Egress CA" not in authority.certificate.read_bytes(), "PEM"
    assert x509.load_pem_x509_certificate(authority.certificate.read_bytes()).subject.rfc4514_string().startswith("CN=")


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 1024),
        ec.generate_private_key(ec.SECP256K1()),
    ],
    ids=["ed25519", "rsa-1024", "secp256k1"],
)
def test_a_key_that_clients_accept_no_site_from_is_refused(tmp_path: Path, key: PrivateKeyTypes) -> None:
    company(tmp_path, key, IS_CA)
    assert "of a kind that clients do not accept" in refusal(tmp_path)


@pytest.mark.parametrize(
    "extensions",
    [
        (),
        (IS_CA,),
        (usage(key_cert_sign=True),),
        (IS_CA, usage(key_cert_sign=False)),
        (x509.BasicConstraints(ca=False, path_length=None), usage(key_cert_sign=True)),
    ],
    ids=["neither", "no usage", "no constraints", "usage for leaves", "no authority"],
)
def test_a_certificate_that_may_not_sign_is_refused(tmp_path: Path, extensions: tuple[x509.ExtensionType, ...]) -> None:
    company(tmp_path, ec.generate_private_key(ec.SECP384R1()), *extensions)
    assert "is not that of a certificate authority" in refusal(tmp_path)


def test_an_authority_that_is_not_valid_yet_is_refused(tmp_path: Path) -> None:
    company(tmp_path, ec.generate_private_key(ec.SECP256R1()), IS_CA, not_before=NOW + datetime.timedelta(hours=2))
    assert "is not valid before 2026-11-21 02:00 UTC" in refusal(tmp_path)


def test_the_warning_says_until_when_and_what_to_do(made: Path) -> None:
    authority = ca.load(made, NOW)
    assert authority.warning(NOW) is None
    said = authority.warning(authority.not_after - datetime.timedelta(days=29))
    assert said is not None
    assert str(authority.not_after.date()) in said
    assert "before the sidecar changes over" in said


def test_a_bundle_holds_the_public_authorities_and_ours_and_no_key(tmp_path: Path, made: Path) -> None:
    authority = ca.load(made, NOW)
    bundle = tmp_path / "bundle.pem"
    for _ in range(2):  # made anew over an old one
        ca.write_bundle(authority, bundle)
    trusted = ssl.create_default_context(cafile=str(bundle)).get_ca_certs(binary_form=True)
    public = ssl.create_default_context(cafile=certifi.where()).get_ca_certs(binary_form=True)
    own = ssl.PEM_cert_to_DER_cert(authority.certificate.read_text())
    assert set(trusted) == {*public, own}
    assert b"PRIVATE" not in bundle.read_bytes()
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.pem"]


def test_a_bundle_from_a_mounted_secret_holds_no_key_either(tmp_path: Path, made: Path) -> None:
    key_only = dataclasses.replace(ca.load(made, NOW), certificate=made / ca.KEY_FILE)
    ca.write_bundle(key_only, tmp_path / "bundle.pem")
    assert b"PRIVATE" not in (tmp_path / "bundle.pem").read_bytes()


def test_a_bundle_that_cannot_be_written_is_refused_in_one_sentence(tmp_path: Path, made: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be written: No such file or directory; name another place"):
        ca.write_bundle(ca.load(made, NOW), tmp_path / "missing" / "bundle.pem")
