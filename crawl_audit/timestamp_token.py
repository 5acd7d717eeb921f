"""RFC 3161 tokens: what time a timestamp authority certifies for which bytes, judged as of that time.

The same check serves the operator, who verifies a token before keeping it, and the auditor.  Needs the extra
`anchors` (rfc3161-client), which nothing else of the kernel needs, so it is imported where it is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from crawl_audit.errors import ConfigurationError, LogFormatError
from crawl_audit.records import Instant

TOKEN_BYTES_MAX = 64 * 1024
"""Larger than any token with its certificates; what is larger is not looked at."""
Certificate = x509.Certificate
"""What tokens are verified with; named here, so that others need not know the package it comes from."""
_SHA256 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_MICROSECONDS = 1_000_000
_GRANTED = b"\x30\x03\x02\x01\x00"  # PKIStatusInfo with the status 0 (granted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timestamp:
    """What a verified token says."""

    at: Instant
    accuracy_us: int  # how far the authority says its clock may be off; 0 where it does not say
    serial: int


def certificates(pem: bytes) -> list[Certificate]:
    """The certificates of a PEM file; raises LogFormatError where there is none or one cannot be read."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise LogFormatError(f"There is no readable certificate in it: {error}.") from error


def request(document: bytes) -> tuple[bytes, int]:
    """A TimeStampReq (DER) for the SHA-256 of ``document``, asking for the certificate, and its random nonce."""
    client = _client()
    builder = client.TimestampRequestBuilder().data(document).hash_algorithm(client.HashAlgorithm.SHA256)
    made = builder.nonce(nonce=True).cert_request(cert_request=True).build()
    assert made.nonce is not None, "a nonce was asked for"
    return made.as_bytes(), made.nonce


def verify_token(token: bytes, document: bytes, roots: Sequence[Certificate], *, nonce: int | None = None) -> Timestamp:
    """What an authority under one of ``roots`` certifies about ``document``; raises LogFormatError where nothing.

    Certificates need to have been valid at the time the token states, not now (RFC 3161 4.3).  ``token`` is a
    TimeStampResp or the bare token; ``nonce`` that of the request, where it is known.
    """
    client = _client()
    if len(token) > TOKEN_BYTES_MAX:
        raise LogFormatError(f"The timestamp token is larger than {TOKEN_BYTES_MAX} octets.")
    try:
        response = client.decode_timestamp_response(_response(token))
        info = response.tst_info
        if info.message_imprint.hash_algorithm != _SHA256:
            raise LogFormatError("The timestamp token is not for a SHA-256 digest.")
        verifier = client.VerifierBuilder(roots=list(roots), nonce=nonce).build()
        verifier.verify(response, hashlib.sha256(document).digest())
        at, accuracy = info.gen_time, info.accuracy
    except (client.VerificationError, ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise LogFormatError(f"The timestamp token does not verify: {str(error).rstrip('.')}.") from error
    return Timestamp(
        at=Instant(int(at.timestamp()) * _MICROSECONDS + at.microsecond),
        accuracy_us=0 if accuracy is None else _microseconds(accuracy),
        serial=info.serial_number,
    )


def _microseconds(accuracy: object) -> int:
    seconds, millis, micros = (getattr(accuracy, part) or 0 for part in ("seconds", "millis", "micros"))
    return int(seconds * _MICROSECONDS + millis * 1000 + micros)


def _response(token: bytes) -> bytes:
    """A bare token as the response that would have carried it: its first element is an OID, not a status."""
    header = 2 if len(token) > 1 and token[1] < 0x80 else 2 + (token[1] & 0x7F) if len(token) > 1 else 0
    if token[header : header + 1] != b"\x06":
        return token
    content = _GRANTED + token
    length = len(content).to_bytes(3, "big")
    return b"\x30\x83" + length + content if len(content) > 0xFFFF else b"\x30\x82" + length[1:] + content


def _client() -> ModuleType:
    try:
        import rfc3161_client
    except ImportError as error:
        raise ConfigurationError(
            "Timestamps need the package rfc3161-client: install crawl-audit with its extra `anchors`."
        ) from error
    return rfc3161_client
