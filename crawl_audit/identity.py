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
    return _credentials(proxy_authorization)[1]


def _credentials(proxy_authorization: str | None) -> tuple[str, str | None]:
    """(user name, token) of a Proxy-Authorization value; an empty name and None where there are none."""
    scheme, _, rest = (proxy_authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return "", rest.strip() or None
    if scheme.lower() != "basic":
        return "", None
    try:
        pair = base64.b64decode(rest.strip(), validate=True).decode("utf-8")
    except ValueError:  # not base64, not ASCII, not UTF-8
        return "", None
    name, _, secret = pair.partition(":")
    return name, secret or None


def identify(proxy_authorization: str | None, crawlers: Sequence[Crawler]) -> Crawler | None:
    """The crawler whose token was presented, or the single crawler that needs none; None: nobody we know.

    Every configured digest is compared, each in constant time, so that timing tells nothing about which matched.  The
    token alone says who it is; a user name beside it that is the id of another crawler contradicts it, and is nobody.
    """
    name, secret = _credentials(proxy_authorization)
    digest = hashlib.sha256((secret or "").encode("utf-8", "surrogatepass")).hexdigest()
    found = None
    for crawler in crawlers:
        if crawler.secret_sha256 is not None and hmac.compare_digest(crawler.secret_sha256, digest) and secret:
            found = crawler
    if found is None and len(crawlers) == 1 and crawlers[0].secret_sha256 is None:
        return crawlers[0]
    if found is not None and name != found.id and any(name == crawler.id for crawler in crawlers):
        return None
    return found


def why_unknown(proxy_authorization: str | None, crawlers: Sequence[Crawler]) -> str:
    """Why :func:`identify` knew nobody, as one sentence for the record: it never quotes what was presented.

    Only a name that is configured is named: what else stands in its place may be somebody's token.
    """
    name, secret = _credentials(proxy_authorization)
    claimed = next((crawler.id for crawler in crawlers if crawler.id == name), None)
    if claimed is not None and secret is not None:
        return f"The user name is that of crawler {claimed}, and the token is not."
    return "No token of a configured crawler was presented."


def token_in_user_agent(user_agent: str | None, product_tokens: Sequence[str]) -> bool:
    """RFC 9309 2.2.1: the product token SHOULD be a substring of the identification string sent; any case."""
    return user_agent is not None and any(t.lower() in user_agent.lower() for t in product_tokens if t != ANY_CRAWLER)
