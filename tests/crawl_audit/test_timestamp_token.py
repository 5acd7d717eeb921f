"""A token counts for its own bytes, its own authority and its own time, and for nothing one bit away."""

from __future__ import annotations

import base64
import datetime
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509

from crawl_audit.errors import ConfigurationError, LogFormatError
from crawl_audit.records import Instant
from crawl_audit.timestamp_token import TOKEN_BYTES_MAX, Timestamp, certificates, request, verify_token
from tests import tsa

DOCUMENT = b"crawl-audit/x\n1\nroot\n"
FROZEN_AT = Instant(1_795_268_427_000_000)
FROZEN_CA = b"""\
-----BEGIN CERTIFICATE-----
MIIBJjCBzqADAgECAgEBMAoGCCqGSM49BAMCMBMxETAPBgNVBAMMCFNob3J0IENB
MB4XDTI2MTEyMTEzMzkyN1oXDTI2MTEyMTEzNDA0N1owEzERMA8GA1UEAwwIU2hv
cnQgQ0EwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATZfS8YZtwSItmHeFQHgifW
9YDiJ5HO3DHVL8f9mP5XajVAjVV7bpy4OORVD2QKZCVaBl54kKQxOrhu9gWTueIP
oxMwETAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIEHRBTXggE6X
b9Ic+D0vv10GhGld72+JTGPqVLpCY54PAiA710MtY87oXkMTE1RVWFIYiQHN6v4A
N8gWVuPAOdGBcA==
-----END CERTIFICATE-----
"""
FROZEN_TOKEN = base64.b64decode("""
MIIDDDADAgEAMIIDAwYJKoZIhvcNAQcCoIIC9DCCAvACAQMxDzANBglghkgBZQMEAgEFADB2BgsqhkiG9w0BCRABBKBnBGUwYwIBAQYEKgMEAT
AxMA0GCWCGSAFlAwQCAQUABCBqXplbE+1IH9qgxcDBBrt0/F1JDbBHIFHnysDUOXHe1QIBAhgPMjAyNjExMjExMzQwMjdaMAMCAQEBAf8CCQCA
H+ro43VwyKCCATAwggEsMIHSoAMCAQICAQIwCgYIKoZIzj0EAwIwEzERMA8GA1UEAwwIU2hvcnQgQ0EwHhcNMjYxMTIxMTMzOTI3WhcNMjYxMT
IxMTM0MDQ3WjAQMQ4wDAYDVQQDDAVTaG9ydDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDuQzhcbxQOhi7SvIwnt9bE7SzGjlMp/7xqLjVo0
o7Nbx1FHE1613NaQpRYfNn9mPCIrZMH+LfgfqXbq3IsBK76jGjAYMBYGA1UdJQEB/wQMMAoGCCsGAQUFBwMIMAoGCCqGSM49BAMCA0kAMEYCIQ
CQAOgX4w7JMlp0JW11LqWJW6vi/93StRMwUBCQIhkmpQIhAKDrQ9Ej18zQPU3DO8oEJcJPQjphhh/4eE/sr1ddvuHZMYIBLDCCASgCAQEwGDAT
MREwDwYDVQQDDAhTaG9ydCBDQQIBAjANBglghkgBZQMEAgEFAKCBpDAaBgkqhkiG9w0BCQMxDQYLKoZIhvcNAQkQAQQwHAYJKoZIhvcNAQkFMQ
8XDTI2MTEyMTEzNDAyN1owLwYJKoZIhvcNAQkEMSIEILRVf7vz5wuY9VIih9CTCzqGtEBGkT+eVZXM8Jz2UxZpMDcGCyqGSIb3DQEJEAIvMSgw
JjAkMCIEIPp57t6opCwEGVcBCS8xD1I68x4dQPNcRsdqMy4l4TZyMAoGCCqGSM49BAMCBEcwRQIgaLrgTsM3uM8p5wM5h2xxukckbynZ2fNLKa
SEJoa8R2cCIQDnyoq43BGQylG6qQcVkniqzEml+JIH1VOn7C5X0yywsQ==
""")


@pytest.fixture(scope="module", params=["ec", "rsa"])
def authority(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tsa.Authority:
    return tsa.make(tmp_path_factory.mktemp("tsa") / request.param, key=request.param)


@pytest.fixture(scope="module")
def token(authority: tsa.Authority) -> bytes:
    return authority.answer(request(DOCUMENT)[0])


@pytest.fixture(scope="module")
def roots(authority: tsa.Authority) -> list[x509.Certificate]:
    return certificates(authority.ca.read_bytes())


def test_a_token_gives_the_time_and_its_accuracy(token: bytes, roots: list[x509.Certificate]) -> None:
    stamp = verify_token(token, DOCUMENT, roots)
    assert abs(stamp.at / 1e6 - time.time()) < 60
    assert stamp.accuracy_us == 1_000_000


def test_the_nonce_ties_an_answer_to_its_request(authority: tsa.Authority, roots: list[x509.Certificate]) -> None:
    query, nonce = request(DOCUMENT)
    answer = authority.answer(query)
    assert verify_token(answer, DOCUMENT, roots, nonce=nonce).serial > 0
    with pytest.raises(LogFormatError, match="Nonce"):
        verify_token(answer, DOCUMENT, roots, nonce=nonce + 1)


def test_a_bare_token_says_the_same_as_the_response_that_carried_it(
    token: bytes, roots: list[x509.Certificate]
) -> None:
    start = token.index(bytes.fromhex("06092a864886f70d010702"))  # id-signedData opens the token
    bare = token[start - 4 :]
    assert bare[0] == 0x30
    assert verify_token(bare, DOCUMENT, roots) == verify_token(token, DOCUMENT, roots)


def test_other_bytes_are_not_certified(token: bytes, roots: list[x509.Certificate]) -> None:
    with pytest.raises(LogFormatError, match="Mismatch"):
        verify_token(token, DOCUMENT + b"\n", roots)


def test_another_authority_of_the_same_name_does_not_count(token: bytes, tmp_path: Path) -> None:
    other = tsa.make(tmp_path / "other")
    with pytest.raises(LogFormatError, match="does not verify"):
        verify_token(token, DOCUMENT, certificates(other.ca.read_bytes()))


def test_a_token_counts_after_its_certificates_have_expired() -> None:
    """Made under certificates that were valid for 80 seconds on 2026-11-21."""
    root = certificates(FROZEN_CA)
    assert root[0].not_valid_after_utc < datetime.datetime.now(datetime.UTC)
    assert verify_token(FROZEN_TOKEN, DOCUMENT, root) == Timestamp(at=FROZEN_AT, accuracy_us=1_000_000, serial=2)


def test_a_token_does_not_count_under_certificates_that_had_expired_at_its_time(tmp_path: Path) -> None:
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    late = tsa.make_valid(tmp_path / "late", start, start + datetime.timedelta(days=1))
    with pytest.raises(LogFormatError, match="does not verify"):
        verify_token(late.answer(request(DOCUMENT)[0]), DOCUMENT, certificates(late.ca.read_bytes()))


def test_no_bit_of_a_token_changes_what_it_says(token: bytes, roots: list[x509.Certificate]) -> None:
    said, accepted = verify_token(token, DOCUMENT, roots), 0
    for position in range(len(token)):
        changed = bytearray(token)
        changed[position] ^= 1 << position % 8
        try:
            assert verify_token(bytes(changed), DOCUMENT, roots) == said, position
        except LogFormatError:
            continue
        accepted += 1
    assert accepted < len(token) / 50  # parameters of algorithms that no signature covers


def test_no_part_of_a_token_is_enough(token: bytes, roots: list[x509.Certificate]) -> None:
    for length in range(len(token)):
        with pytest.raises(LogFormatError):
            verify_token(token[:length], DOCUMENT, roots)
    with pytest.raises(LogFormatError):
        verify_token(token + b"\x00", DOCUMENT, roots)


def test_what_is_too_large_is_not_looked_at(roots: list[x509.Certificate]) -> None:
    with pytest.raises(LogFormatError, match="larger than"):
        verify_token(bytes(TOKEN_BYTES_MAX + 1), DOCUMENT, roots)


@pytest.mark.parametrize("pem", [b"", b"no", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_without_certificates_is_refused(pem: bytes) -> None:
    with pytest.raises(LogFormatError, match="no readable certificate"):
        certificates(pem)


def test_without_the_extra_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    with pytest.raises(ConfigurationError, match="extra `anchors`"):
        request(DOCUMENT)
