"""Sites that mean harm: each costs its own crawler an answer, and nobody else anything.

All of them at the same time against one sidecar, with somebody beside them who crawls a good site.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end import harness
from tests.end_to_end.bystander import MEMORY_KIB, Bystander, bystander, exchanges, visits
from tests.end_to_end.harness import Sidecar, Site
from tests.end_to_end.odd_behaviour import BEHAVIOURS, Behaviour, bomb, bomb_octets, queried, redirects
from tests.end_to_end.origin import Farm, Origin

SETTINGS = "drain_timeout_s = 2\n[robots]\nfetch_timeout_s = 8\n[signals]\nhtml_meta = true"
UPSTREAM = """\
connect_timeout_s = 8
first_byte_timeout_s = 8
idle_timeout_s = 8
total_timeout_s = 10
min_rate_window_s = 3
"""
# These last until a deadline and are begun at once; the others follow each other on a few threads, so that no deadline
# passes on a busy machine that is not meant to.
LASTING = ("drip", "silent", "silence", "endless")

# path: (how the exchange ends, the status that the crawler sees or None where its connection is cut)
PAGES: dict[str, tuple[str, set[int | None]]] = {
    "/odd/bomb-gzip": ("completed", {200}),
    "/odd/bomb-br": ("completed", {200}),
    "/odd/bomb-zstd": ("completed", {200}),
    "/odd/head-drip": ("timeout", {504}),
    "/odd/body-drip": ("timeout", {None}),
    "/odd/giant-head?bytes=70000000&field=60000": ("upstream_error", {502}),
    "/odd/giant-head?bytes=70000000&field=2000000": ("upstream_error", {502}),
    "/odd/cut": ("upstream_error", {None}),
    "/odd/more-than-said": ("completed", {200}),
    "/odd/reset": ("upstream_error", {502}),
    "/odd/reset-within": ("upstream_error", {None}),
    "/odd/endless": ("timeout", {None}),
    "/odd/trailers": ("completed", {200}),
    "/odd/103": ("completed", {200}),
    "/odd/interim-flood": ("upstream_error", {502}),
    "/odd/bad-status": ("upstream_error", {502}),
    "/odd/no-version": ("upstream_error", {502}),
    "/odd/two-lengths": ("upstream_error", {502}),
    "/odd/bad-chunk": ("upstream_error", {None}),
    "/odd/long-chunk-line": ("upstream_error", {None}),
    "/odd/nul": ("completed", {200}),
    "/odd/bare-lf": ("completed", {200}),
    "/odd/folded": ("completed", {200}),
    "/odd/as-the-proxy": ("completed", {407}),
}

# what is done with robots.txt: (the page behind it is forwarded, the outcome of the snapshot)
ROBOTS: dict[str, tuple[Behaviour, bool, str]] = {
    "gzip bomb": (bomb("gzip"), True, "successful"),
    "br bomb": (bomb("br"), True, "successful"),
    "zstd bomb": (bomb("zstd"), False, "unreachable"),  # a coding that was not asked for and is not read
    "drip": (BEHAVIOURS["/odd/body-drip"], False, "unreachable"),
    "head drip": (BEHAVIOURS["/odd/head-drip"], False, "unreachable"),
    "silence": (BEHAVIOURS["/odd/silent"], False, "unreachable"),
    "giant head": (queried(BEHAVIOURS["/odd/giant-head"], bytes="70000000", field="60000"), False, "unreachable"),
    "redirect loop": (redirects(), True, "unavailable"),
    "redirect to metadata": (redirects("http://169.254.169.254/latest/meta-data/"), False, "unreachable"),
    "short": (BEHAVIOURS["/odd/cut"], False, "unreachable"),
    "reset": (BEHAVIOURS["/odd/reset"], False, "unreachable"),
    "reset within": (BEHAVIOURS["/odd/reset-within"], False, "unreachable"),
    "endless": (BEHAVIOURS["/odd/endless"], False, "unreachable"),
    "no http": (BEHAVIOURS["/odd/no-http"], False, "unreachable"),
    "interim flood": (BEHAVIOURS["/odd/interim-flood"], False, "unreachable"),
}


@dataclass(slots=True, kw_only=True)
class Played:
    """What came of it."""

    sidecar: Sidecar
    good: Origin
    wild: Origin
    behind: dict[str, Origin]
    statuses: dict[str, int | None] = field(default_factory=dict)
    fields: dict[str, dict[str, str]] = field(default_factory=dict)
    bodies: dict[str, int] = field(default_factory=dict)
    grown_kib: int = 0
    bystander: Bystander = field(default_factory=Bystander)
    rows: list[dict[str, Any]] = field(default_factory=list)


def ask(played: Played, name: str, url: str) -> None:
    """One request; the status, or None where the answer broke off."""
    with played.sidecar.client(timeout=30) as client, client.stream("GET", url) as answer:
        played.fields[name] = dict(answer.headers)
        try:
            played.bodies[name] = sum(map(len, answer.iter_raw()))
            played.statuses[name] = answer.status_code
        except (httpx.RemoteProtocolError, httpx.ReadError):
            played.statuses[name] = None


@pytest.fixture(scope="module")
def played(site: Site, sites: Farm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Everything at once."""
    for coding in ("gzip", "br", "zstd"):
        bomb_octets(coding)  # takes a while, in which no deadline runs
    directory: Path = tmp_path_factory.mktemp("hostile-sites")
    with harness.running(site, directory, mode="enforce", settings=SETTINGS, upstream=UPSTREAM) as sidecar:
        behind = {name: sites.start(robots=behaviour) for name, (behaviour, _, _) in ROBOTS.items()}
        made = Played(sidecar=sidecar, good=sites.start(), wild=sites.start(), behind=behind)
        with sidecar.client() as client:
            for origin in (made.good, made.wild):
                assert client.get(origin.url + "/page").status_code == 200
        sidecar.reset_peak()
        idle = sidecar.peak_kib()
        urls = {path: made.wild.url + path for path in PAGES}
        urls |= {name: origin.url + "/page" for name, origin in behind.items()}
        lasting = {name for name in urls if any(word in name for word in LASTING)}
        with (
            bystander(sidecar, made.good) as made.bystander,
            ThreadPoolExecutor(len(lasting)) as slow,
            ThreadPoolExecutor(3) as fast,
        ):
            begun = [slow.submit(ask, made, name, urls[name]) for name in lasting]
            begun += [fast.submit(ask, made, name, url) for name, url in urls.items() if name not in lasting]
            for done in begun:
                done.result(120)
        made.grown_kib = sidecar.peak_kib() - idle
        ports = [origin.port for origin in (made.good, made.wild, *behind.values())]
        made.rows = exchanges(sidecar, *ports)
        yield made


@pytest.mark.parametrize("path", PAGES)
def test_a_hostile_answer_ends_on_record_and_costs_its_own_crawler_only(path: str, played: Played) -> None:
    outcome, statuses = PAGES[path]
    (row,) = [row for row in played.rows if row["port"] == played.wild.port and row["target"] == path]
    assert (row["action"], row["outcome"]) == ("forwarded", outcome)
    assert played.statuses[path] in statuses


@pytest.mark.parametrize("name", ROBOTS)
def test_a_hostile_robots_txt_leads_to_a_verdict(name: str, played: Played) -> None:
    _, forwarded, outcome = ROBOTS[name]
    origin = played.behind[name]
    (row,) = [row for row in played.rows if row["port"] == origin.port]
    assert (row["action"] == "forwarded") == forwarded
    assert visits(origin) == forwarded
    assert played.statuses[name] == (200 if forwarded else 403)
    snapshots = played.sidecar.rows(f"SELECT * FROM snapshot WHERE port = {origin.port}")
    assert {snapshot["outcome"] for snapshot in snapshots} == {outcome}
    assert all((snapshot["body_bytes"] or 0) <= 2 * 1024 * 1024 for snapshot in snapshots)


def test_no_request_reached_a_site_that_is_not_on_record(played: Played) -> None:
    for origin in (played.good, played.wild, *played.behind.values()):
        forwarded = [row for row in played.rows if row["port"] == origin.port and row["action"] == "forwarded"]
        assert visits(origin) == len(forwarded)
        assert all(row["outcome"] is not None for row in forwarded)


def test_whoever_crawls_another_site_notices_nothing(played: Played) -> None:
    assert set(played.bystander.statuses) == {200}
    assert len(played.bystander.statuses) >= 3


def test_memory_stays_bounded(played: Played) -> None:
    assert played.grown_kib < MEMORY_KIB


def test_a_site_cannot_speak_in_the_proxys_name(played: Played) -> None:
    fields = played.fields["/odd/as-the-proxy"]
    assert not {"proxy-authenticate", "proxy-status", "x-hop"} & set(fields)


def test_fields_with_line_ends_or_nul_reach_the_crawler_as_one_line(played: Played) -> None:
    assert played.fields["/odd/folded"]["x-folded"] == "a b"
    assert played.fields["/odd/nul"]["x-nul"] == "a b"
    assert played.fields["/odd/bare-lf"]["x-plain"] == "yes"


def test_a_bomb_is_passed_on_as_it_came(played: Played) -> None:
    for coding in ("gzip", "br", "zstd"):
        path = f"/odd/bomb-{coding}"
        (row,) = [row for row in played.rows if row["target"] == path]
        assert row["response_bytes"] == played.bodies[path] < 2 * 1024 * 1024


def test_the_sidecar_serves_afterwards_without_a_restart(played: Played) -> None:
    with played.sidecar.client() as client:
        assert client.get(played.good.url + "/after").status_code == 200
    assert played.sidecar.ready_status() == 200
    said = played.sidecar.stderr.read_text()
    assert [word for word in ("Traceback", "crashed", "Addon error") if word in said] == []
