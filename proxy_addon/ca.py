"""The certificate authority the crawlers trust: made once on demand, checked at start, never silently replaced.

Its key can impersonate any site to whoever trusts it, so the key is 0600 in a directory of its own, apart
from the log that auditors get, and ``run`` refuses to start without it instead of making a new one.
"""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from crawl_audit.errors import ConfigurationError

# mitmproxy reads `<basename>-ca.pem` from its confdir (mitmproxy/options.py CONF_BASENAME).
KEY_FILE = "mitmproxy-ca.pem"
CERTIFICATE_FILE = "ca.pem"
_VALIDITY = datetime.timedelta(days=825)
_WARN_BEFORE = datetime.timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A usable certificate authority: where clients find its certificate, and until when it holds."""

    directory: Path
    certificate: Path
    fingerprint_sha256: str
    not_after: datetime.datetime

    def expires_soon(self, now: datetime.datetime) -> bool:
        """Whether fewer than 30 days are left."""
        return self.not_after - now < _WARN_BEFORE


def ensure(directory: Path, now: datetime.datetime) -> Authority:
    """The authority in ``directory``, made there if there is none; raises ConfigurationError with one sentence."""
    try:
        if (directory / KEY_FILE).exists():
            return load(directory, now)
        if (directory / CERTIFICATE_FILE).exists():
            raise ConfigurationError(
                f"{directory} holds {CERTIFICATE_FILE} without its key {KEY_FILE}; "
                "restore the key or move the certificate away."
            )
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        key, certificate = _generate(now)
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        _write(directory / KEY_FILE, key + pem, 0o600)
        _write(directory / CERTIFICATE_FILE, pem, 0o644)
    except OSError as error:
        raise ConfigurationError(
            f"The certificate authority cannot be made in {directory}: {error.strerror}; "
            "name a writable directory with --ca."
        ) from error
    return load(directory, now)


def load(directory: Path, now: datetime.datetime) -> Authority:
    """The authority in ``directory``; raises ConfigurationError where it is missing, unreadable or expired."""
    key_file = directory / KEY_FILE
    try:
        raw = key_file.read_bytes()
        key = serialization.load_pem_private_key(raw, None)
        certificate = x509.load_pem_x509_certificate(raw)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigurationError(
            f"There is no certificate authority in {directory}; make one with `crawl-audit-proxy ca --ca {directory}`."
        ) from error
    except OSError as error:
        raise ConfigurationError(f"The CA key {key_file} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{key_file} does not hold a private key and certificate in PEM; "
            "restore it or move it away and make a new CA."
        ) from error
    if key.public_key() != certificate.public_key():
        raise ConfigurationError(
            f"The key in {key_file} belongs to another certificate than the one beside it; restore them."
        )
    if certificate.not_valid_after_utc <= now:
        raise ConfigurationError(
            f"The CA in {directory} expired; move it away and make a new one for the crawlers to trust."
        )
    return Authority(
        directory=directory,
        certificate=_shown(directory, certificate),
        fingerprint_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        not_after=certificate.not_valid_after_utc,
    )


def _shown(directory: Path, certificate: x509.Certificate) -> Path:
    """The file that clients are told to trust: certain to be the certificate that signs."""
    shown = directory / CERTIFICATE_FILE
    if not shown.is_file():
        try:
            _write(shown, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        except OSError:
            return directory / KEY_FILE  # a mounted, read-only secret: the key file carries the certificate too
        return shown
    try:
        same = x509.load_pem_x509_certificate(shown.read_bytes()) == certificate
    except OSError as error:
        raise ConfigurationError(f"The CA certificate {shown} cannot be read: {error.strerror}.") from error
    except ValueError:
        same = False
    if not same:
        raise ConfigurationError(
            f"{shown} is not the certificate of the CA key beside it; move it away, it will be made again."
        )
    return shown


def _generate(now: datetime.datetime) -> tuple[bytes, x509.Certificate]:
    """(key in PEM, self-signed certificate): ECDSA P-256, because forging a leaf per site costs least with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crawl-audit sidecar CA")])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + _VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, certificate


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a new file with its final rights from the first octet on; never over an existing one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
