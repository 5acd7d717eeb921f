"""A crawler that ignores its proxy gets nowhere: deploy/egress/sidecar.nft in a pod of real network namespaces.

The sidecar runs as uid 65532, the crawler as 65534, in one namespace, as in a pod; what they can reach is a second
namespace.  The same attempts are made without the rules first: there they arrive, so this test can fail.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.end_to_end import harness
from tests.end_to_end.harness import ROOT, Sidecar, Site
from tests.end_to_end.namespaces import (
    CRAWLER_UID,
    MACHINE_CRAWLER_UID,
    MACHINE_RULES,
    POD4,
    RULES,
    SIDECAR_UID,
    SITE4,
    SITE6,
    TABLE,
    Namespace,
    pod_and_internet,
    require,
    serving,
    wait_until_reached,
)

_HERE = Path(__file__).parent
_PROXY = "http://127.0.0.1:8080"
_TARGETS = (f"{SITE4}:80", f"{SITE4}:443", f"[{SITE6}]:80")
# What belongs to everybody's own namespace; whether it is reached is not about the internet.
_LOCAL = {"admin port", "another loopback port", "proxy port"}


@dataclass(slots=True)
class Seen:
    """Everything that was tried, in its order, and what came of it."""

    without_rules: dict[str, str] = field(default_factory=dict)
    with_rules: dict[str, str] = field(default_factory=dict)
    arrived_without_rules: list[str] = field(default_factory=list)
    arrived_with_rules: list[str] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    tampering: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)
    rules_unchanged: bool = False
    through: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)
    inbound: dict[str, str] = field(default_factory=dict)
    probe_closed: subprocess.CompletedProcess[str] | None = None
    on_a_machine: dict[str, str] = field(default_factory=dict)
    arrived_on_a_machine: list[str] = field(default_factory=list)
    others_on_a_machine: dict[str, str] = field(default_factory=dict)
    probe_open: subprocess.CompletedProcess[str] | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    incidents: list[dict[str, Any]] = field(default_factory=list)


def arrivals(file: Path) -> list[str]:
    return [f"{line['how']} {line['what']}" for line in map(json.loads, file.read_text().splitlines())]


def attempts(pod: Namespace, uid: int = CRAWLER_UID) -> dict[str, str]:
    done = pod.run(sys.executable, str(_HERE / "egress_attempts.py"), SITE4, SITE6, uid=uid)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def connect_in(pod: Namespace, internet: Namespace) -> str:
    """Whether somebody outside reaches a port that the crawler listens on."""
    listener = (
        "import socket; s = socket.create_server(('0.0.0.0', 9999)); print('up', flush=True);"
        " s.settimeout(2); s.accept()"
    )
    with subprocess.Popen(
        pod.command(sys.executable, "-c", listener, uid=CRAWLER_UID), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        done = internet.run("curl", "-sS", "--max-time", "1", f"http://{POD4}:9999/")
        process.kill()
    return "refused" if done.returncode == 28 else "connected"


def curl(pod: Namespace, ca: Path, url: str) -> subprocess.CompletedProcess[str]:
    shown = ("-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20", "--proxy", _PROXY, "--cacert", str(ca))
    return pod.run("curl", *shown, url, uid=CRAWLER_UID)


def probe(pod: Namespace, ca: Path) -> subprocess.CompletedProcess[str]:
    targets = [part for target in _TARGETS for part in ("--target", target)]
    command = (sys.executable, "-m", "proxy_addon", "probe", *targets, "--cacert", str(ca), "--timeout", "0.5")
    return pod.run("env", f"PYTHONPATH={ROOT}", f"HTTP_PROXY={_PROXY}", *command, uid=CRAWLER_UID, seconds=60)


def tamper(pod: Namespace) -> dict[str, subprocess.CompletedProcess[str]]:
    """What would open the way, tried by crawler and sidecar."""
    rule = f"add rule {' '.join(TABLE)} output accept"
    return {
        "crawler flushes": pod.run("nft", "flush ruleset", uid=CRAWLER_UID),
        "crawler adds a rule": pod.run("nft", rule, uid=CRAWLER_UID),
        "crawler adds a route": pod.run("ip", "link", "add", "dummy0", "type", "dummy", uid=CRAWLER_UID),
        "crawler becomes the sidecar": pod.run(
            "setpriv", f"--reuid={SIDECAR_UID}", "--clear-groups", "true", uid=CRAWLER_UID
        ),
        "sidecar flushes": pod.run("nft", "flush ruleset", uid=SIDECAR_UID),
    }


def owned(directory: Path) -> Path:
    """The directory and what is in it as the sidecar's own."""
    for path in (directory, *directory.rglob("*")):
        shutil.chown(path, SIDECAR_UID, SIDECAR_UID)
    return directory


def observe(pod: Namespace, internet: Namespace, site: Site, directory: Path, arrived: Path) -> Seen:
    """The whole story, once: without rules, with rules and sidecar, without rules again."""
    wait_until_reached(pod)
    arrived.write_text("")
    seen = Seen(without_rules=attempts(pod), inbound={"without rules": connect_in(pod, internet)})
    seen.arrived_without_rules = arrivals(arrived)
    arrived.write_text("")
    pod.must("nft", "-f", str(RULES))
    before = pod.rules()
    places = ("--listen", "127.0.0.1:8080", "--admin", "127.0.0.1:8081")
    arguments = (*places, "--crawler", "tester", "--product-token", "TestBot")
    with harness.running(
        site, directory, mode="enforce", arguments=arguments, prefix=pod.prefix(SIDECAR_UID)
    ) as sidecar:
        seen.with_rules = attempts(pod)
        seen.inbound["with rules"] = connect_in(pod, internet)
        seen.arrived_with_rules = arrivals(arrived)
        seen.tampering = tamper(pod)
        seen.rules_unchanged = pod.rules() == before
        for url in (f"http://{SITE4}/a", f"https://{SITE4}/b", f"http://[{SITE6}]/c", f"http://{SITE4}:8443/d"):
            seen.through[url] = curl(pod, site.certificate, url)
        seen.through["denied"] = curl(pod, site.certificate, f"https://{SITE4}/private/e")
        seen.counters = pod.counters()
        seen.probe_closed = probe(pod, site.certificate)
        pod.must("nft", "delete", "table", *TABLE)
        seen.probe_open = probe(pod, site.certificate)
        arrived.write_text("")
        pod.must("nft", "-f", str(MACHINE_RULES))
        seen.on_a_machine = attempts(pod, MACHINE_CRAWLER_UID)
        seen.arrived_on_a_machine = arrivals(arrived)
        seen.others_on_a_machine = attempts(pod, CRAWLER_UID)
        record(pod, sidecar, seen)
    return seen


def record(pod: Namespace, sidecar: Sidecar, seen: Seen) -> None:
    with pod.entered():
        sidecar.seal()
    seen.rows = sidecar.rows("SELECT * FROM exchange ORDER BY seq")
    seen.incidents = sidecar.rows("SELECT * FROM incident ORDER BY seq")


@pytest.fixture(scope="module")
def seen(site: Site, authority: trustme.CA) -> Iterator[Seen]:
    require()
    # Not among pytest's own directories: only their owner may enter those.
    with tempfile.TemporaryDirectory(prefix="crawl-audit-") as place:
        Path(place).chmod(0o755)
        yield observed_in(Path(place), site, authority)


def observed_in(directory: Path, site: Site, authority: trustme.CA) -> Seen:
    certificate, arrived = directory / "site.pem", directory / "arrivals"
    authority.issue_cert(SITE4, SITE6).private_key_and_cert_chain_pem.write_to_path(str(certificate))
    own = directory / "sidecar"
    own.mkdir()
    # As Kubernetes hands a secret to a user who is not root: it can be read by the group, and written by nobody.
    ca = Path(shutil.copytree(site.ca, directory / "ca"))
    shutil.chown(ca / "mitmproxy-ca.pem", "root", SIDECAR_UID)
    (ca / "mitmproxy-ca.pem").chmod(0o440)
    there = replace(site, ca=ca, certificate=ca / "ca.pem", allowed=(f"{SITE4}/32", f"{SITE6}/128"))
    with (
        pod_and_internet() as (pod, internet),
        serving(internet, _HERE / "internet_site.py", (SITE4, SITE6, str(certificate)), arrived),
    ):
        return observe(pod, internet, there, owned(own), arrived)


def test_without_the_rules_the_same_attempts_arrive(seen: Seen) -> None:
    outside = {name: outcome for name, outcome in seen.without_rules.items() if name not in _LOCAL}
    refused = {name for name, outcome in outside.items() if outcome != "arrived"}
    assert refused == {"dns over TCP", "raw packet"}, "nobody listens there; raw sockets need rights"
    for how in ("tcp 80", "tcp 443", "tcp 8443", "udp 443", "udp 53"):
        assert any(line.startswith(how) for line in seen.arrived_without_rules), how
    assert seen.inbound["without rules"] == "connected"


def test_with_the_rules_nothing_of_the_crawlers_arrives(seen: Seen) -> None:
    assert seen.arrived_with_rules == []
    outside = {name: outcome for name, outcome in seen.with_rules.items() if name not in _LOCAL}
    assert "arrived" not in outside.values(), outside


@pytest.mark.parametrize("name", ["http", "https", "another port", "quic", "dns", "http over IPv6", "quic over IPv6"])
def test_a_refusal_is_told_at_once(seen: Seen, name: str) -> None:
    """A crawler that waits for nothing shows the mistake in its own log."""
    assert seen.with_rules[name] in ("ECONNREFUSED", "EPERM", "EHOSTUNREACH", "EACCES"), seen.with_rules


def test_the_crawler_reaches_the_proxy_and_no_other_port_of_the_pod(seen: Seen) -> None:
    assert {name: seen.with_rules[name] == "arrived" for name in _LOCAL} == {
        "proxy port": True,
        "admin port": False,
        "another loopback port": False,
    }


def test_a_crawler_that_listens_is_not_reached_from_outside(seen: Seen) -> None:
    assert seen.inbound["with rules"] == "refused"


def test_neither_crawler_nor_sidecar_can_change_the_rules(seen: Seen) -> None:
    assert {name for name, done in seen.tampering.items() if done.returncode == 0} == set()
    assert seen.rules_unchanged


def test_through_the_sidecar_the_site_is_reached(seen: Seen) -> None:
    answers = {name: done.stdout for name, done in seen.through.items()}
    assert answers.pop("denied") == "403"
    assert set(answers.values()) == {"200"}, [done.stderr for done in seen.through.values()]


def test_what_went_through_is_on_record_and_nothing_else(seen: Seen) -> None:
    asked = {row["target"]: (row["scheme"], row["host"], row["action"]) for row in seen.rows}
    assert {target: found for target, found in asked.items() if target != "/robots.txt"} == {
        "/a": ("http", SITE4, "forwarded"),
        "/b": ("https", SITE4, "forwarded"),
        "/c": ("http", SITE6, "forwarded"),
        "/d": ("http", SITE4, "forwarded"),
        "/private/e": ("https", SITE4, "denied"),
    }
    assert {row["target"] for row in seen.rows if row["action"] == "forwarded" and row["status"] != 200} == set()


def test_the_counters_say_what_was_refused(seen: Seen) -> None:
    for name in ("refused_tcp", "refused_udp_443", "refused_dns", "refused_ipv6", "refused_admin", "refused_other"):
        assert seen.counters[name] > 0, seen.counters
    assert seen.counters["refused_sidecar"] == 0


def test_the_probe_finds_the_way_closed_and_the_log_says_so(seen: Seen) -> None:
    assert seen.probe_closed is not None
    assert seen.probe_closed.returncode == 0, seen.probe_closed
    said = json.loads(seen.probe_closed.stdout)
    assert said["result"] == "closed"
    assert [target["udp4"] for target in said["targets"]] == ["refused", "refused", "not_tried"]
    closed = [row for row in seen.incidents if row["incident"] == "egress_probe_closed"]
    assert len(closed) == len(_TARGETS)
    assert {row["crawler"] for row in closed} == {"tester"}
    assert all(row["detail"].startswith("Declared by the prober, of ") for row in closed)


def test_the_probe_finds_an_open_way_and_the_log_says_so(seen: Seen) -> None:
    assert seen.probe_open is not None
    assert seen.probe_open.returncode == 1, seen.probe_open
    said = json.loads(seen.probe_open.stdout)
    assert said["result"] == "open"
    assert [(target["tcp4"], target["tcp6"], target["udp4"]) for target in said["targets"]] == [
        ("open", "not_tried", "open"),
        ("open", "not_tried", "open"),
        ("not_tried", "open", "not_tried"),
    ]
    assert [row["incident"] for row in seen.incidents].count("egress_probe_open") == len(_TARGETS)


def test_on_a_machine_the_crawlers_user_alone_is_held_to_the_proxy(seen: Seen) -> None:
    """deploy/egress/host.nft."""
    assert seen.arrived_on_a_machine == []
    assert {name for name, outcome in seen.on_a_machine.items() if outcome == "arrived"} == {"proxy port"}
    assert seen.others_on_a_machine["http"] == seen.others_on_a_machine["quic over IPv6"] == "arrived"
