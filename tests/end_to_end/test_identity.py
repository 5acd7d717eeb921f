"""Several crawlers behind one sidecar: told apart by their tokens, which appear nowhere."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.harness import Sidecar, Site, running, tls_context
from tests.end_to_end.origin import Farm

NEWS_TOKEN = "news-7f3a9c51d2e84b60"
SHOP_TOKEN = "shop-c0ffee51d2e84b61"
ROBOTS = b"User-agent: NewsBot\nDisallow: /news-only/\n\nUser-agent: ShopBot\nDisallow: /shop-only/\n"


def settings(token_file: Path) -> str:
    """Two crawlers: one token by its digest, one in a file."""
    token_file.write_text(SHOP_TOKEN + "\n")
    digest = hashlib.sha256(NEWS_TOKEN.encode()).hexdigest()
    return (
        f'[[crawlers]]\nid = "news"\nproduct_tokens = ["NewsBot"]\ntoken_sha256 = "{digest}"\n'
        f'[[crawlers]]\nid = "shop"\nproduct_tokens = ["ShopBot"]\ntoken_file = "{token_file}"\n'
    )


def through(sidecar: Sidecar, credentials: str) -> httpx.Client:
    """A client that presents ``id:token``."""
    proxy = f"http://{credentials}@{sidecar.ready['proxy']}"
    return httpx.Client(trust_env=False, proxy=proxy, verify=tls_context(sidecar.site.certificate), timeout=20)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_two_crawlers_are_told_apart_and_judged_by_their_own_groups(
    scheme: str, sidecar: Callable[..., Sidecar], sites: Farm, tmp_path: Path
) -> None:
    started = sidecar(mode="enforce", settings=settings(tmp_path / "token"), arguments=())
    origin = sites.start(scheme, robots=ROBOTS)
    answers = []
    for credentials in (f"news:{NEWS_TOKEN}", f"shop:{SHOP_TOKEN}"):
        with through(started, credentials) as client:
            answers += [client.get(f"{origin.url}/{path}/x").status_code for path in ("news-only", "shop-only")]
    assert answers == [403, 200, 200, 403]
    rows = started.sealed_rows("SELECT crawler, product_token, target, action FROM decision ORDER BY seq")
    assert [tuple(row.values()) for row in rows] == [
        ("news", "NewsBot", "/news-only/x", "denied"),
        ("news", "NewsBot", "/shop-only/x", "forwarded"),
        ("shop", "ShopBot", "/news-only/x", "forwarded"),
        ("shop", "ShopBot", "/shop-only/x", "denied"),
    ]
    for seen in origin.seen:  # nothing of ours is passed on
        assert not any(name.lower().startswith("proxy-") for name, _ in seen.fields)


@pytest.mark.parametrize("credentials", ["", "news:wrong", f"news:{NEWS_TOKEN}x", f"{NEWS_TOKEN}:", "news:"])
def test_who_presents_no_token_of_a_crawler_is_asked_for_one(
    credentials: str, sites: Farm, site: Site, tmp_path: Path
) -> None:
    plain, secure = sites.start(), sites.start("https")
    with running(site, tmp_path, mode="audit", settings=settings(tmp_path / "token"), arguments=()) as started:
        proxy = f"http://{credentials}@{started.ready['proxy']}" if credentials else started.proxy
        with started.client(proxy=proxy) as client:
            answer = client.get(plain.url + "/page")
            with pytest.raises(httpx.ProxyError, match="407"):
                client.get(secure.url + "/page")
        assert (answer.status_code, answer.headers["content-type"]) == (407, "application/problem+json")
        assert answer.headers["proxy-authenticate"].startswith("Basic ")
        assert (plain.connections, secure.connections) == (0, 0)
        assert started.sealed_rows("SELECT * FROM decision") == []
        assert [row["incident"] for row in started.rows("SELECT incident FROM incident")] == ["unknown_crawler"]
        (tunnel,) = started.rows("SELECT outcome FROM tunnel")
        assert tunnel["outcome"] == "refused"


def test_a_token_appears_nowhere_but_in_the_file_that_holds_it(
    sidecar: Callable[..., Sidecar], sites: Farm, tmp_path: Path
) -> None:
    started = sidecar(settings=settings(tmp_path / "token"), arguments=())
    origin, refusing = sites.start("https"), sites.start("https", robots=500)
    for credentials in (f"news:{NEWS_TOKEN}", f"shop:{SHOP_TOKEN}", f"nobody:{NEWS_TOKEN}x"):
        for url in (origin.url + "/page", refusing.url + "/odd/reset", "http://nowhere.invalid/"):
            with through(started, credentials) as client, contextlib.suppress(httpx.TransportError):
                client.get(url)
    assert started.sealed_rows("SELECT count(*) AS n FROM decision")[0]["n"] == 6
    live = _octets(started.log)
    assert started.stop() == 0
    everything = live + _octets(started.log) + started.stdout.read_bytes() + started.stderr.read_bytes()
    columns = "\n".join(
        str(started.rows(f"SELECT * FROM {kind}")) for kind in ("run", "decision", "incident", "tunnel")
    )
    for token in (NEWS_TOKEN, SHOP_TOKEN):
        encoded = [base64.b64encode(f"{who}:{token}".encode()).decode() for who in ("news", "shop", "nobody")]
        digest = hashlib.sha256(token.encode()).hexdigest()
        for secret in (token, digest, *encoded):
            assert secret.encode() not in everything
            assert secret not in columns


def _octets(directory: Path) -> bytes:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    assert files
    return b"".join(path.read_bytes() for path in files)
