"""The client matrix: ``python -m tests.clients [--json FILE] [NAME...]``.

Installs what is missing into environments of its own, then enters a network of its own in which a site can be reached
with the sidecar and without it, runs every client both ways and compares what the site saw with the log.  Exit code 1
where a client does not do what docs/clients.md says of it.  Needs root.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import trustme

from tests.clients import environments
from tests.clients.measuring import Measure, Measured
from tests.clients.recipes import MISTAKES, RECIPES, Recipe, version_of
from tests.end_to_end import harness
from tests.end_to_end.origin import Farm, Origin, farm

# RFC 5737: for documentation.  Each run gets an address and a name of its own, and the usual port.
NETWORK = "203.0.113"
DOMAIN = "shop.example"
_numbers = itertools.count(1)


def main(arguments: list[str] | None = None) -> int:
    """Run the named clients, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__)
    parser.add_argument("--json", type=Path, help="merge the results into this file")
    parser.add_argument("names", nargs="*", help="default: all")
    given = parser.parse_args(arguments)
    if os.geteuid() != 0:
        _say("The client matrix makes a network of its own: run it as root.")
        return 1
    chosen = [recipe for recipe in RECIPES if not given.names or recipe.name in given.names]
    missing = _install(chosen)
    rows: list[dict[str, Any]] = []
    with _network() as measure:
        for recipe in chosen:
            rows.append(_missing(recipe, missing[recipe.name]) if missing[recipe.name] else _measured(measure, recipe))
            _say(json.dumps(rows[-1], ensure_ascii=False))
            _merge(given.json, rows)
        if not given.names:
            rows += [_mistake(measure, name) for name in MISTAKES]
            _merge(given.json, rows)
    failed = [f"{row['name']}: {why}" for row in rows for why in row["failures"]]
    for line in failed:
        _say(line)
    return int(bool(failed))


def _install(chosen: list[Recipe]) -> dict[str, list[str]]:
    """Set up what the clients need, while there is a network; what is missing by client."""
    failures: dict[str, str] = {}
    for name in sorted({need for recipe in chosen for need in recipe.needs if need in (*environments.PYTHON, "node")}):
        if (why := environments.set_up(name)) is not None:
            failures[name] = why
    return {
        recipe.name: [f"{need}: {failures[need]}" for need in recipe.needs if need in failures]
        + [f"{need} is not installed" for need in recipe.missing()]
        for recipe in chosen
    }


@contextmanager
def _network() -> Iterator[Measure]:
    """This process and its children in a network of their own, with a site under a public address and a name."""
    os.unshare(os.CLONE_NEWNET | os.CLONE_NEWNS)
    with tempfile.TemporaryDirectory(prefix="crawl-audit-clients-") as place:
        directory = Path(place)
        names = "".join(f"{NETWORK}.{number} s{number}.{DOMAIN}\n" for number in range(1, 255))
        (directory / "hosts").write_text(f"127.0.0.1 localhost\n{names}")
        for command in (
            ["ip", "link", "set", "lo", "up"],
            ["ip", "route", "add", "local", f"{NETWORK}.0/24", "dev", "lo"],
            ["mount", "--make-rprivate", "/"],
            ["mount", "--bind", str(directory / "hosts"), "/etc/hosts"],
        ):
            subprocess.run(command, check=True)
        authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(f"*.{DOMAIN}").configure_cert(tls)
        authority.cert_pem.write_to_path(str(directory / "origins.pem"))
        made = harness.make_site(directory, directory / "origins.pem")
        bundle = directory / "bundle.pem"
        assert harness.command(made, "ca", "--ca", str(made.ca), "--bundle", str(bundle)).returncode == 0
        (directory / "sidecar").mkdir()
        there = replace(made, allowed=(f"{NETWORK}.0/24",))
        with farm(tls) as sites, harness.running(there, directory / "sidecar", mode="enforce") as sidecar:
            yield Measure(sidecar, sites, _start, bundle)


def _start(sites: Farm, scheme: str) -> Origin:
    number = next(_numbers)
    port = {"http": 80, "https": 443}[scheme]
    return sites.start(scheme, name=f"s{number}.{DOMAIN}", address=f"{NETWORK}.{number}", port=port)


def _measured(measure: Measure, recipe: Recipe) -> dict[str, Any]:
    began = time.monotonic()
    http, https = (measure.recipe(recipe, scheme) for scheme in ("http", "https"))
    alone = measure.recipe(recipe, "http", proper=False)
    distrusting = measure.recipe(recipe, "https", trusts=False)
    failures = [
        f"{what}: {found.said.strip()[-600:] or 'said nothing'}"
        for what, found, good in (
            ("http", http, http.through),
            ("https", https, https.through is (recipe.no_https == "")),
            ("a denied page is not shown as documented", http, http.shown),
            ("the variables alone", alone, alone.through or alone.past),
            ("without the CA", distrusting, distrusting.through or distrusting.nothing),
        )
        if not good
    ]
    return {
        "name": recipe.name,
        "version": version_of(recipe),
        "http": http.through,
        "https": https.through or recipe.no_https,
        "variables_alone": _way(alone),
        "without_ca": "accepts any" if distrusting.through else "refuses",
        "failures": failures,
        "seconds": round(time.monotonic() - began, 1),
        **_where(),
    }


def _way(found: Measured) -> str:
    return "through" if found.through else "past" if found.past else "nowhere"


def _missing(recipe: Recipe, reasons: list[str]) -> dict[str, Any]:
    return {"name": recipe.name, "failures": reasons, **_where()}


def _mistake(measure: Measure, name: str) -> dict[str, Any]:
    command, _ = MISTAKES[name]
    found = measure.command(command, "http")
    failures = [] if found.past else [f"does not go past the sidecar: {found.said.strip()[-600:]}"]
    return {"name": name, "mistake": True, "variables_alone": _way(found), "failures": failures, **_where()}


def _where() -> dict[str, str]:
    system = next(
        line.partition("=")[2].strip('"\n')
        for line in Path("/etc/os-release").read_text().splitlines()
        if line.startswith("PRETTY_NAME=")
    )
    return {"on": time.strftime("%Y-%m-%d", time.gmtime()), "where": system}


def _merge(file: Path | None, rows: list[dict[str, Any]]) -> None:
    """New results in place of older ones of the same name, in the order of the recipes."""
    if file is None:
        return
    old = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.exists() else []
    merged = {row["name"]: row for row in [*old, *rows]}
    order = [*(recipe.name for recipe in RECIPES), *MISTAKES]
    kept = [merged[name] for name in order if name in merged]
    file.write_text(json.dumps({"rows": kept}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 -- a command line


if __name__ == "__main__":
    sys.exit(main())
