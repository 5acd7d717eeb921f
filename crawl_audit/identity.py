"""Who is asking: credentials of the connection → a configured crawler, or none.

The product token comes from configuration, never from User-Agent: any client can write any User-Agent, and matching
the whole header against robots.txt selects wrong groups (``Mozilla``, ``compatible``).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

ANY_CRAWLER = "*"
"""The token that stands for no product token: judged by the groups for `*` only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crawler:
    """One configured crawler: who it says it is, and how the sidecar knows it."""

    id: str
    product_tokens: tuple[str, ...]  # RFC 9309 2.2.1, in order of preference; ("*",) where none is configured
    user_agent: str | None = None  # the User-Agent it is expected to send
    purpose: str | None = None
    contact: str | None = None
    secret_sha256: str | None = None  # SHA-256 of its proxy token, hex; None: needs no credentials

    @property
    def product_token(self) -> str:
        """The tokens as they stand in a decision."""
        return ", ".join(self.product_tokens)


def presented_secret(proxy_authorization: str | None) -> str | None:
    """The token in a Proxy-Authorization value: the password of Basic, or Bearer; None where there is none."""
    scheme, _, rest = (proxy_authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip() or None
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(rest.strip(), validate=True).decode("utf-8")
    except ValueError:  # not base64, not ASCII, not UTF-8
        return None
    return pair.partition(":")[2] or None


def identify(proxy_authorization: str | None, crawlers: Sequence[Crawler]) -> Crawler | None:
    """The crawler whose token was presented, or the single crawler that needs none; None: nobody we know.

    Every configured digest is compared, each in constant time, so that timing tells nothing about which matched.
    """
    secret = presented_secret(proxy_authorization)
    digest = hashlib.sha256((secret or "").encode("utf-8", "surrogatepass")).hexdigest()
    found = None
    for crawler in crawlers:
        if crawler.secret_sha256 is not None and hmac.compare_digest(crawler.secret_sha256, digest) and secret:
            found = crawler
    if found is None and len(crawlers) == 1 and crawlers[0].secret_sha256 is None:
        return crawlers[0]
    return found


def token_in_user_agent(user_agent: str | None, product_tokens: Sequence[str]) -> bool:
    """RFC 9309 2.2.1: the product token SHOULD be a substring of the identification string sent; any case."""
    return user_agent is not None and any(t.lower() in user_agent.lower() for t in product_tokens if t != ANY_CRAWLER)
