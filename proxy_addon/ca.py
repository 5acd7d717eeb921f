"""The certificate authority the crawlers trust: made once on demand, checked at start, never silently replaced.

Its key can impersonate any site to whoever trusts it, so the key is 0600 in a directory of its own, apart
from the log that auditors get, and ``run`` refuses to start without it instead of making a new one.  A CA of the
operator's own (RSA or ECDSA, with name constraints or an intermediate's chain behind it) is used as it is.
"""

from __future__ import annotations

import datetime
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from crawl_audit.errors import ConfigurationError

# mitmproxy reads `<basename>-ca.pem` from its confdir (mitmproxy/options.py CONF_BASENAME).
KEY_FILE = "mitmproxy-ca.pem"
CERTIFICATE_FILE = "ca.pem"
_VALIDITY = datetime.timedelta(days=825)
_WARN_BEFORE = datetime.timedelta(days=30)
# What clients accept of an authority: CA/Browser Forum Baseline Requirements 6.1.5.
_RSA_BITS_MIN = 2048
_CURVES = ("secp256r1", "secp384r1", "secp521r1")


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

    def warning(self, now: datetime.datetime) -> str | None:
        """What to do while fewer than 30 days are left, in one sentence."""
        if not self.expires_soon(now):
            return None
        return (
            f"The CA in {self.directory} expires on {self.not_after.date()}: make a new one in another directory and"
            " have the crawlers trust both before the sidecar changes over."
        )


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
    except TypeError as error:  # what cryptography raises for a key that needs a passphrase
        raise ConfigurationError(
            f"The CA key in {key_file} is encrypted, and nobody is there to be asked for the passphrase: "
            "store it decrypted (`openssl pkey`), for its owner alone."
        ) from error
    except ValueError as error:
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
    _check_usable(key_file, certificate, now)
    _check_rights(directory, key_file)
    return Authority(
        directory=directory,
        certificate=_shown(directory, certificate),
        fingerprint_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        not_after=certificate.not_valid_after_utc,
    )


def _check_usable(key_file: Path, certificate: x509.Certificate, now: datetime.datetime) -> None:
    """Refuse what no client would accept a site's certificate from."""
    key = certificate.public_key()
    rsa_fits = isinstance(key, rsa.RSAPublicKey) and key.key_size >= _RSA_BITS_MIN
    ec_fits = isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES
    if not (rsa_fits or ec_fits):
        raise ConfigurationError(
            f"The CA key in {key_file} is of a kind that clients do not accept; use ECDSA P-256, P-384 or P-521,"
            f" or RSA with {_RSA_BITS_MIN} bits or more."
        )
    if certificate.not_valid_before_utc > now:
        raise ConfigurationError(
            f"The CA in {key_file} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC;"
            " look at this machine's clock, or use another CA until then."
        )
    if not _may_sign(certificate):
        raise ConfigurationError(
            f"The certificate in {key_file} is not that of a certificate authority (basicConstraints with CA:TRUE and"
            " keyUsage with keyCertSign, RFC 5280 4.2.1); ask whoever issued it for one that may sign."
        )


def _may_sign(certificate: x509.Certificate) -> bool:
    """Whether clients take it for an authority; those that read RFC 5280 to the letter want both extensions."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return constraints.ca and usage.key_cert_sign


def _check_rights(directory: Path, key_file: Path) -> None:
    """Refuse a key that everybody on the machine could read, or replace.

    The group may read it: that is how Kubernetes hands a secret to a user who is not root (fsGroup).
    """
    try:
        key_mode, directory_mode = key_file.stat().st_mode, directory.stat().st_mode
    except OSError as error:
        raise ConfigurationError(f"The rights of {key_file} cannot be read: {error.strerror}.") from error
    if key_mode & stat.S_IRWXO:
        raise ConfigurationError(
            f"The CA key {key_file} is open to every user of this machine (mode {stat.S_IMODE(key_mode):04o});"
            " whoever has it can pose as any site: take the rights away with `chmod o-rwx`."
        )
    if directory_mode & stat.S_IWOTH and not directory_mode & stat.S_ISVTX:
        raise ConfigurationError(
            f"Every user of this machine may replace the CA in {directory}; take the right away with `chmod o-w`."
        )


def write_bundle(authority: Authority, file: Path) -> None:
    """Write certifi's authorities and this one to ``file``, at once or not at all.

    For clients that know one bundle only: what they are given replaces the one they have (`REQUESTS_CA_BUNDLE`,
    `SSL_CERT_FILE`).  Raises ConfigurationError.
    """
    try:
        certificate = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
        own = certificate.public_bytes(serialization.Encoding.PEM)
        pem = Path(certifi.where()).read_bytes().rstrip() + b"\n\n# The sidecar's own\n" + own
        descriptor, name = tempfile.mkstemp(dir=file.absolute().parent, prefix=f".{file.name}.")
        with os.fdopen(descriptor, "wb") as made:
            made.write(pem)
            os.fchmod(descriptor, 0o644)
        Path(name).replace(file)
    except OSError as error:
        raise ConfigurationError(
            f"The bundle {file} cannot be written: {error.strerror}; name another place with --bundle."
        ) from error


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
