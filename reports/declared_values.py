"""What single values of the operator file must look like; each check gives the value, or says what to write instead."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from crawl_audit.site import site_of
from crawl_audit.target import TargetError, normal_host
from reports import prose

EVERY_SITE = "*"
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MONTH = re.compile(r"(?:0[1-9]|1[0-2])/[0-9]{4}", re.ASCII)
_KEY = re.compile(r"[a-z][a-z0-9_]{0,60}", re.ASCII)
# As the sidecar has it for the ids in its settings.
_CRAWLER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z_-]{1,100}", re.ASCII)
# What reorders or hides text. Joiners are not among them: scripts and emoji need them.
_UNSEEN = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def line(value: str) -> str:
    """One line of text as it is; raises ValueError where a character in it does not show."""
    found = _CONTROL.search(value) or _UNSEEN.search(value)
    if found is not None:
        raise ValueError(f"has a character that does not show (U+{ord(found.group()):04X}): write the text without it")
    if not value.strip():
        raise ValueError("is empty: write a text, or leave the key out")
    return value


def paragraphs(value: str) -> str:
    """A text in paragraphs, as :mod:`reports.prose` has it; raises ValueError as :func:`line` does."""
    made = prose.as_written(value)
    for one in made.split(prose.PARAGRAPH):
        line(one)
    return made


def address(value: str) -> str:
    """An absolute address of the web."""
    try:
        parts = urlsplit(value)
        known = parts.scheme in ("https", "http") and bool(parts.hostname)
    except ValueError:
        known = False
    if not known or " " in value:
        raise ValueError("is no address of the web: write all of it, for example https://example.com/bot")
    return value


def base_address(value: str) -> str:
    """The address of a directory on the web: it ends with a slash."""
    if not address(value).endswith("/") or "?" in value or "#" in value:
        raise ValueError("is no address of a directory: let it end with a slash, for example https://example.com/bots/")
    return value


def country(value: str) -> str:
    """A country code (ISO 3166-1 alpha-2)."""
    if _COUNTRY.fullmatch(value) is None:
        raise ValueError('is no code of a country: write its two capital letters, for example "JP"')
    return value


def digest(value: str) -> str:
    """A SHA-256."""
    if _DIGEST.fullmatch(value) is None:
        raise ValueError("is no SHA-256: write 64 digits 0-9 and a-f, as `sha256sum FILE` prints them")
    return value


def month(value: str) -> str:
    """A month as regulators write it."""
    if _MONTH.fullmatch(value) is None:
        raise ValueError('is no month: write it as MM/YYYY, for example "03/2025"')
    return value


def item_key(value: str) -> str:
    """The key of an item of a statement."""
    if _KEY.fullmatch(value) is None:
        raise ValueError("is no key: write small letters, digits and underscores, for example robots_txt")
    return value


def crawler_id(value: str) -> str:
    """A crawler's id."""
    if _CRAWLER.fullmatch(value) is None:
        raise ValueError(
            "is no id of a crawler: write it as the sidecar's settings do (letters, digits, '_', '.', '-'; at most 64)"
        )
    return value


def product_token(value: str) -> str:
    """A product token (RFC 9309 2.2.1)."""
    if _TOKEN.fullmatch(value) is None:
        raise ValueError("is no product token: write letters, '_' and '-' only (RFC 9309 2.2.1), as in robots.txt")
    return value


def site(value: str) -> str:
    """A registrable domain as the log writes it, or ``*``."""
    if value == EVERY_SITE:
        return value
    try:
        host = normal_host(value)
    except TargetError as error:
        raise ValueError('is no domain: write it without scheme and path, for example "example.com"') from error
    if site_of(host) != host:
        raise ValueError(f'is a host of the site {site_of(host)}: write "{site_of(host)}"')
    return host
