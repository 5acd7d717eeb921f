"""What is checked before a sidecar listens: versions, ports, and where its operational log goes.

The operational log (JSON lines on stderr) is for the people who run the sidecar; evidence never goes there.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import logging
import platform
import socket
from pathlib import Path

from crawl_audit import __version__, robots, schema, site
from crawl_audit.errors import ConfigurationError
from crawl_audit.identity import Crawler
from proxy_addon import ca, policy_settings
from proxy_addon.ca import Authority
from proxy_addon.operational_log import about
from proxy_addon.settings import Settings, split_address

logger = logging.getLogger("crawl_audit.sidecar")

_DEPENDENCIES = ("mitmproxy", "duckdb", "protego", "httpx", "cryptography", "certifi", "publicsuffixlist")


def check_versions() -> None:
    """Refuse any mitmproxy but the one whose behaviour the contract tests have shown."""
    from proxy_addon.master import MITMPROXY_VERSION  # a supervisor runs without mitmproxy

    found = importlib.metadata.version("mitmproxy")
    if found != MITMPROXY_VERSION:
        raise ConfigurationError(
            f"mitmproxy {found} is installed, but this version runs with {MITMPROXY_VERSION} only; install that one."
        )


def check(settings: Settings) -> tuple[Authority, tuple[Crawler, ...]]:
    """What the settings name and what is installed, checked as far as no log is needed; raises ConfigurationError."""
    check_versions()
    return check_settings(settings)


def check_settings(settings: Settings) -> tuple[Authority, tuple[Crawler, ...]]:
    """As :func:`check`, of the settings alone; what does not forbid a start is told."""
    now = datetime.datetime.now(datetime.UTC)
    authority = ca.load(settings.ca, now)
    if (warning := authority.warning(now)) is not None:
        logger.warning("%s", warning, extra=about("ca_expires"))
    settings.robots.shared_key()
    crawlers = settings.crawler_values()
    for sentence in policy_settings.expired(settings.exemptions, now):
        logger.warning("%s", sentence, extra=about("exemption_expired"))
    if not settings.crawlers:
        logger.warning("No crawler is configured, so the groups for `*` decide; name yours with --product-token.")
    return authority, crawlers


def check_free(name: str, address: str) -> None:
    """Refuse an address that cannot be listened on, before anything else is touched."""
    host, port = split_address(address)
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {address} ({name}): {error.strerror or error}; stop what uses it"
            f" or give another address with --{name}."
        ) from error


def code_sha256() -> str:
    """SHA-256 over the kernel's and the writer's source files: who has the release can tell whether it was changed.

    Each file by its path from the packages' directory, a zero octet, its length and its octets, in the paths' order.
    """
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for path in sorted(path for package in ("crawl_audit", "proxy_addon") for path in (root / package).rglob("*.py")):
        octets = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(octets)}\0".encode() + octets)
    return digest.hexdigest()


def software() -> str:
    """Names and versions of what decides, proxies and stores, and the digest of our own code, as JSON."""
    versions = {name: importlib.metadata.version(name) for name in _DEPENDENCIES}
    versions |= {
        "code_sha256": code_sha256(),
        "crawl-audit": __version__,
        "parser": robots.PARSER,
        "public-suffix-list": site.list_version(),
        "python": platform.python_version(),
        "schema": str(schema.VERSION),
    }
    return json.dumps(versions, sort_keys=True, separators=(",", ":"))
