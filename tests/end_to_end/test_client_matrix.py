"""The clients that every machine with the tests has, told of the sidecar as docs/clients.md says, and not told.

The whole matrix (``make test-clients``) needs programs and packages of its own and takes minutes; its last results are
in tests/clients/results.json and held against the recipes here.  curl, wget, httpx, Scrapy and Crawlee crawl whole
sites in test_clients.py; here are the settings of the others.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.clients.measuring import Measure
from tests.clients.recipes import MISTAKES, RECIPES, Recipe
from tests.end_to_end import harness
from tests.end_to_end.harness import ROOT, Sidecar, Site
from tests.end_to_end.origin import Farm, Origin

RESULTS = {
    row["name"]: row
    for row in json.loads((ROOT / "tests" / "clients" / "results.json").read_text(encoding="utf-8"))["rows"]
}
# What test_clients.py does not have.
HERE = [recipe for recipe in RECIPES if recipe.light and recipe.name not in ("curl", "wget", "httpx")]


def start(sites: Farm, scheme: str) -> Origin:
    return sites.start(scheme)


@pytest.fixture(scope="module")
def measure(site: Site, enforcing: Sidecar, sites: Farm, tmp_path_factory: pytest.TempPathFactory) -> Measure:
    bundle = tmp_path_factory.mktemp("bundle") / "bundle.pem"
    done = harness.command(site, "ca", "--ca", str(site.ca), "--bundle", str(bundle))
    assert done.stdout.strip() == str(bundle)
    return Measure(enforcing, sites, start, bundle)


def needed(recipe: Recipe) -> None:
    missing = [name for name in recipe.needs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"platform: no {' and no '.join(missing)} on this machine")


@pytest.mark.parametrize("recipe", HERE, ids=str)
def test_a_client_that_is_told_as_documented_goes_through_and_sees_denials(recipe: Recipe, measure: Measure) -> None:
    needed(recipe)
    found = measure.recipe(recipe, "https")
    assert found.through, found.said
    assert found.shown, found.said


def test_aiohttp_that_is_not_told_to_look_does_not_use_the_proxy(measure: Measure) -> None:
    """The names of the tests mean nothing outside the sidecar, so going past it ends there."""
    (aiohttp,) = (recipe for recipe in RECIPES if recipe.name == "aiohttp")
    found = measure.recipe(aiohttp, "http", proper=False)
    assert "ClientConnectorDNSError" in found.said
    assert (found.recorded, found.denied_recorded) == (0, 0)


def test_a_client_that_does_not_trust_the_ca_gets_nothing(measure: Measure) -> None:
    (requests,) = (recipe for recipe in RECIPES if recipe.name == "requests")
    found = measure.recipe(requests, "https", trusts=False)
    assert "CERTIFICATE_VERIFY_FAILED" in found.said
    assert found.nothing


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_the_last_results_of_the_matrix_have_no_failure(recipe: Recipe) -> None:
    row = RESULTS[recipe.name]
    assert row["failures"] == []
    assert row["http"] is True
    assert row["https"] is True or row["https"] == recipe.no_https != ""


@pytest.mark.parametrize("name", MISTAKES)
def test_each_known_mistake_went_past_the_sidecar(name: str) -> None:
    assert RESULTS[name]["variables_alone"] == "past"


def test_the_results_are_of_these_clients_and_no_others() -> None:
    assert set(RESULTS) == {recipe.name for recipe in RECIPES} | set(MISTAKES)


DOCUMENT = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")


def test_the_switch_for_chromium_is_computed_as_documented(site: Site, tmp_path: Path) -> None:
    from tests.clients.recipes import Command, Job, run

    (command,) = re.findall(r"^KEY=(\$\(.*\))$", DOCUMENT, re.MULTILINE)
    shutil.copy(site.certificate, tmp_path / "ca.pem")
    job = Job(proxy="", ca=site.certificate, bundle=site.certificate, directory=tmp_path, urls=())
    assert run(Command(["sh", "-c", f"echo {command}"]), tmp_path).strip() == job.spki()
