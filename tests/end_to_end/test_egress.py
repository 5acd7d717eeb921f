"""A crawler cannot use the sidecar to reach the operator's own network, whatever it writes."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.end_to_end import harness
from tests.end_to_end.harness import Sidecar, Site
from tests.end_to_end.origin import Farm, Origin

# This machine's own addresses, as crawlers, redirects and name servers may write them.
SPELLINGS = ("127.0.0.1", "shop.test", "127.1", "2130706433", "0x7f000001", "0", "[::1]", "[::ffff:127.0.0.1]")


@pytest.fixture(scope="module", params=["audit", "enforce"])
def guarded(request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A sidecar that may connect to 127.0.0.2 and to nothing else on this machine."""
    narrow = replace(site, allowed=("127.0.0.2/32",))
    with harness.running(narrow, tmp_path_factory.mktemp("guarded"), mode=request.param) as started:
        yield started


@pytest.fixture(scope="module")
def private(sites: Farm) -> Origin:
    """A server of the operator's own that listens on all spellings of this machine."""
    return sites.start("http", address="127.0.0.1")


@pytest.mark.parametrize("host", SPELLINGS)
def test_no_spelling_of_the_own_machine_is_reached(guarded: Sidecar, private: Origin, host: str) -> None:
    before = private.connections
    authority = f"{host}:{private.port}"
    answer = guarded.ask(
        f"GET http://{authority}/secret HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.split(b" ", 2)[1] in (b"400", b"403", b"421", b"502"), answer[:300]
    assert private.connections == before


def test_the_refusal_is_on_record_and_says_why(guarded: Sidecar, private: Origin) -> None:
    with guarded.client() as client:
        answer = client.get(f"http://127.0.0.1:{private.port}/secret")
    if guarded.mode == "enforce":  # its robots.txt cannot be had either, so the site is taken to disallow all
        assert (answer.status_code, answer.json()["basis"]) == (403, "unreachable")
    else:
        assert answer.status_code == 502
        assert "destination_ip_prohibited" in answer.headers["Proxy-Status"]
    where = f"host = '127.0.0.1' AND port = {private.port} AND target = '/secret'"
    rows = guarded.sealed_rows(f"SELECT action, basis, outcome, error, snapshot_seq FROM exchange WHERE {where}")
    assert rows and {row["basis"] for row in rows} == {"unreachable"}
    if guarded.mode == "audit":
        assert {row["outcome"] for row in rows} == {"not_sent"}
        assert all("egress_denied" in row["error"] for row in rows)
    shots = guarded.rows(f"SELECT outcome, error FROM snapshot WHERE host = '127.0.0.1' AND port = {private.port}")
    assert shots and all(row["error"].startswith("egress_denied") for row in shots)


def test_what_the_settings_allow_is_reached(guarded: Sidecar, sites: Farm) -> None:
    public = sites.start("http", address="127.0.0.2")
    with guarded.client() as client:
        assert client.get(f"http://127.0.0.2:{public.port}/open").status_code == 200


class _Redirecting(http.server.BaseHTTPRequestHandler):
    to = ""

    def do_GET(self) -> None:
        """Every path leads to ``to``."""
        self.send_response(302)
        self.send_header("Location", self.to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_robots_txt_that_redirects_inside_is_not_followed(guarded: Sidecar, private: Origin) -> None:
    before = private.connections
    handler = type("_There", (_Redirecting,), {"to": f"http://127.0.0.1:{private.port}/robots.txt"})
    with http.server.ThreadingHTTPServer(("127.0.0.2", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with guarded.client() as client:
            client.get(f"http://127.0.0.2:{server.server_port}/open")
        server.shutdown()
    where = f"host = '127.0.0.2' AND port = {server.server_port}"
    (shot,) = guarded.sealed_rows(f"SELECT outcome, error, redirects FROM snapshot WHERE {where}")
    assert (shot["outcome"], shot["error"].split(":")[0]) == ("unreachable", "egress_denied")
    assert shot["redirects"]
    assert private.connections == before


def test_metadata_services_stay_closed_where_everything_is_allowed(site: Site, tmp_path: Path) -> None:
    wide = replace(site, allowed=("0.0.0.0/0", "::/0"))
    with harness.running(wide, tmp_path, mode="audit") as sidecar, sidecar.client(timeout=20) as client:
        answer = client.get("http://169.254.169.254/latest/meta-data/")
        assert answer.status_code == 502
        assert "destination_ip_prohibited" in answer.headers["Proxy-Status"]


def test_what_is_no_network_is_refused_at_the_start(site: Site, tmp_path: Path) -> None:
    config = tmp_path / "sidecar.toml"
    config.write_text('[egress]\ndeny_networks = ["10.0.0.1/8"]\n')
    done = harness.command(site, "check-config", str(config))
    assert done.returncode == 78
    assert "egress.deny_networks" in done.stderr and done.stderr.count("\n") == 1
