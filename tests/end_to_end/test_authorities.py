"""Certificate authorities of the operator's own, and changing from one to another while crawlers go on."""

from __future__ import annotations

import datetime
import shutil
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.end_to_end import harness
from tests.end_to_end.harness import Sidecar, Site
from tests.end_to_end.origin import Farm

DAYS_LEFT = 20
type Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
SIGNS = x509.KeyUsage(
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


def certificate_of(
    name: str, key: Key, issuer: x509.Name | None, issuer_key: Key, *extensions: x509.ExtensionType
) -> x509.Certificate:
    """An authority's certificate, self-signed where there is no issuer."""
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS_LEFT))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(SIGNS, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(issuer_key, hashes.SHA256())


def company_ca(directory: Path) -> Path:
    """An RSA authority for names under shop.test only, by the company's root, as a mounted secret; the root's file."""
    root_key, key = ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)
    root = certificate_of("Example Corp. Root", root_key, None, root_key)
    only = x509.NameConstraints(permitted_subtrees=[x509.DNSName("shop.test")], excluded_subtrees=None)
    certificate = certificate_of("Example Corp. Egress CA", key, root.subject, root_key, only)
    own, above = (made.public_bytes(serialization.Encoding.PEM) for made in (certificate, root))
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    directory.mkdir()
    (directory / "mitmproxy-ca.pem").touch(0o400)
    (directory / "mitmproxy-ca.pem").write_bytes(encoded + own + above)
    (directory / "ca.pem").write_bytes(own)
    directory.chmod(0o555)
    (directory.parent / "root.pem").write_bytes(above)
    return directory.parent / "root.pem"


@pytest.fixture(scope="module")
def company(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A sidecar with the company's authority."""
    directory = tmp_path_factory.mktemp("company")
    ca = directory / "ca"
    with harness.running(replace(site, ca=ca, certificate=company_ca(ca)), directory, mode="enforce") as started:
        yield started
    assert {path.name for path in ca.iterdir()} == {"mitmproxy-ca.pem", "ca.pem"}, "the secret was left as it was"
    shutil.rmtree(ca)


def test_an_rsa_authority_with_name_constraints_signs_for_the_names_it_may(company: Sidecar, sites: Farm) -> None:
    """The client knows the company's root alone: what is between is sent along."""
    with company.client() as client:
        assert client.get(sites.start("https").url + "/a.html").status_code == 200


def test_for_other_names_its_certificates_are_refused_by_the_client(company: Sidecar, sites: Farm) -> None:
    origin = sites.start("https", name="news.test")
    with company.client() as client, pytest.raises(httpx.ConnectError, match="permitted subtree violation"):
        client.get(origin.url + "/a.html")
    assert origin.hits("/a.html") == []


def test_an_authority_with_few_days_left_is_a_warning_and_a_metric(company: Sidecar) -> None:
    admin = f"http://{company.ready['admin']}"
    ready = httpx.get(f"{admin}/readyz", trust_env=False)
    assert ready.status_code == 200
    (warning,) = [said for said in ready.json()["warnings"] if "The CA in" in said]
    assert "expires on" in warning
    metrics = httpx.get(f"{admin}/metrics", trust_env=False).text
    (line,) = [line for line in metrics.splitlines() if line.startswith("crawl_audit_tls_ca_expiry_timestamp_seconds ")]
    left = float(line.split()[1]) - datetime.datetime.now(datetime.UTC).timestamp()
    assert (DAYS_LEFT - 1) * 86_400 < left < DAYS_LEFT * 86_400
    assert "expires on" in company.stderr.read_text()


def test_a_crawler_that_trusts_both_authorities_does_not_notice_the_change(
    company: Sidecar, enforcing: Sidecar, sites: Farm, tmp_path: Path
) -> None:
    """The order of docs/clients.md: first both are trusted, then the sidecar changes, then the old one goes."""
    both = tmp_path / "both.pem"
    both.write_bytes(enforcing.site.certificate.read_bytes() + company.site.certificate.read_bytes())
    trusting = ssl.create_default_context(cafile=str(both))
    url = sites.start("https").url + "/a.html"
    for sidecar in (enforcing, company):
        with sidecar.client(verify=trusting) as client:
            assert client.get(url).status_code == 200
