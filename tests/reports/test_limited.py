"""A record limited to a site says so; one limited to a URL says in public only at which site it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.limited import limited, sentence
from reports.matching import parse_subject
from reports.projection import keyed
from reports.url_key import make_url_key, read_url_key
from reports.words import ENGLISH
from tests import logs
from tests.reports.command import crawl_audit

URL = "https://user:hunter2@www.example.com/people/jane-roe?token=canary"
SHOWN = "https://www.example.com/people/jane-roe?token=canary"


@pytest.mark.parametrize(
    ("asked", "site", "scope", "url"),
    [
        ("example.com", "example.com", "registrable domain", None),
        ("www.example.com", "www.example.com", "host and subdomains", None),
        ("example.com:8080", "example.com:8080", "host and port", None),
        ("https://example.com", "https://example.com", "origin", None),
        (URL, "https://www.example.com", "exact URL", SHOWN),
        ("example.com/a", "example.com", "exact URL", "example.com/a"),
    ],
)
def test_a_url_is_told_apart_from_where_it_is(asked: str, site: str, scope: str, url: str | None) -> None:
    assert limited(parse_subject(asked)) == {"query": site, "query_scope": scope, "query_url": url}


def test_without_a_limit_nothing_is_said() -> None:
    assert set(limited(None).values()) == {None}
    assert sentence(limited(None), ENGLISH) is None


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("limited") / "manifest.txt"
    file.write_text("0" * 64 + "\n", encoding="utf-8")
    return file


@pytest.mark.parametrize("kind", ["violations", "robots-history", "reevaluation", "lineage"])
def test_a_url_asked_about_is_in_no_public_record(mixed: logs.LogBuilder, manifest: Path, kind: str) -> None:
    command = ("lineage", mixed.root, "--manifest", manifest) if kind == "lineage" else ("report", kind, mixed.root)
    key = manifest.with_name(f"{kind}.key")
    make_url_key(str(key))
    for form in ("json", "text", "md", "html", "csv"):
        ran = crawl_audit(*command, "--site", URL, "--level", "public", "--format", form)
        for canary in ("jane-roe", "canary", "hunter2", "people"):
            assert canary not in ran.out + ran.err, form
    ran = crawl_audit(*command, "--site", URL, "--level", "public", "--format", "json")
    assert (ran.json["query"], ran.json["query_scope"]) == ("https://www.example.com", "exact URL")
    assert "query_url" in {one["field"] for one in ran.json["withheld"]}
    said = crawl_audit(*command, "--site", URL, "--level", "public").out
    assert "Limited to a single URL at https://www.example.com, which is withheld." in said
    regulator = crawl_audit(*command, "--site", URL, "--level", "regulator", "--url-key", key, "--format", "json")
    assert regulator.json["query_url"] == keyed(SHOWN, read_url_key(str(key)))
    assert crawl_audit(*command, "--site", URL, "--format", "json").json["query_url"] == SHOWN


def test_a_site_asked_about_may_be_named(mixed: logs.LogBuilder) -> None:
    ran = crawl_audit("report", "violations", mixed.root, "--site", "example.com", "--level", "public")
    assert "Limited to example.com." in ran.out


def test_what_was_typed_into_an_inquiry_is_kept_inside(mixed: logs.LogBuilder) -> None:
    for level in ("public", "regulator"):
        for more in ((), ("--letter",)) if level == "public" else ((),):
            ran = crawl_audit("inquiry", mixed.root, URL, "--level", level, *more)
            assert "hunter2" not in ran.out
            assert SHOWN in ran.out.replace("\n", "")
    assert crawl_audit("inquiry", mixed.root, URL, "--format", "json").json["query"] == URL
