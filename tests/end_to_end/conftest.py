"""What the end-to-end tests share: one CA, one farm of scripted sites, sidecars on demand."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.end_to_end import harness
from tests.end_to_end.harness import Sidecar, Site
from tests.end_to_end.origin import Farm, farm


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The CA of the sites."""
    return trustme.CA()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Site:
    """The sidecar's CA and the sites' CA as files."""
    directory = tmp_path_factory.mktemp("site")
    origin_ca = directory / "origins.pem"
    authority.cert_pem.write_to_path(str(origin_ca))
    return harness.make_site(directory, origin_ca)


@pytest.fixture(scope="session")
def sites(authority: trustme.CA) -> Iterator[Farm]:
    """Scripted sites."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("shop.test", "news.test", *(f"127.0.0.{i}" for i in range(1, 6))).configure_cert(tls)
    with farm(tls) as made:
        yield made


@pytest.fixture
def sidecar(site: Site, tmp_path: Path) -> Iterator[Callable[..., Sidecar]]:
    """Starts sidecars that end with the test."""
    with ExitStack() as stack:

        def start(name: str = "sidecar", **options: Any) -> Sidecar:
            directory = tmp_path / name
            directory.mkdir()
            return stack.enter_context(harness.running(site, directory, **options))

        yield start


@pytest.fixture(scope="module")
def auditing(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One sidecar in audit mode for a module."""
    with harness.running(site, tmp_path_factory.mktemp("auditing"), mode="audit") as started:
        yield started


@pytest.fixture(scope="module")
def enforcing(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One sidecar in enforce mode for a module."""
    with harness.running(site, tmp_path_factory.mktemp("enforcing"), mode="enforce") as started:
        yield started
