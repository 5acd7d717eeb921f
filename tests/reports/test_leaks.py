"""Words planted where only the inside may see them are in nothing that regulators, requesters or the public get.

Levels are allow-lists; this looks at them from the outside, whatever the declarations say.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.records import Incident, Mode, Signal, Tunnel
from reports import declarations, letter, lineage, manifest, render, report
from reports.kinds import inquiry
from reports.kinds.registry import KINDS
from reports.levels import Level
from reports.log import open_log
from reports.matching import parse_subject
from reports.period import Period
from reports.report import Kind, Question
from reports.words import Language, Words
from tests import logs

INSIDE = ("directory", "path", "query", "token", "client", "detail", "incident", "answer", "row", "typed", "condition")
"""Where only the inside may look: URLs, addresses, sentences about single requests, persons, names of directories."""
CONFIDENTIAL = (
    *INSIDE,
    *("node", "host", "agent", "software", "deal", "ground", "contract", "approver", "use", "purpose"),
    *("tunnel", "final", "error", "signal", "manifest", "column", "modelname", "person"),
)
"""What the public may not see either, though regulators may."""
BODY = b"User-agent: *\nDisallow: /canary-path\n"


def host(label: str = "canary-host") -> str:
    return f"{label}.example.com"


def settings() -> str:
    crawler = {
        "id": "alpha",
        "product_tokens": ["AlphaBot"],
        "user_agent": "AlphaBot/1.0",
        "purpose": "canary-purpose of ours",
        "token_sha256": "canary-token",
    }
    deal = {
        "id": "canary-deal",
        "sites": ["canary-deal.example"],
        "hosts": [host()],
        "path_prefixes": ["/canary-path"],
        "crawlers": [],
        "reason": "canary-ground",
        "reference": "canary-contract",
        "approver": "canary-approver",
        "not_before": None,
        "until": "2027-07-01T00:00:00Z",
    }
    policy = {"content-signal": {"canary-use": "deny", "training": "deny"}}
    return json.dumps({"crawlers": [crawler], "exemptions": [deal], "signals": {"policy": policy}})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with a word of its own wherever a word can stand."""
    made = logs.LogBuilder(tmp_path_factory.mktemp("canary-directory") / "audit-log", "canary-node-20261118T110640Z-1")
    software = json.dumps({"canary-software": "1"})
    made.add(logs.run(settings=settings(), node="canary-node", software=software, mode=Mode.AUDIT))
    made.add(logs.robots_body(BODY))
    seen = logs.snapshot(host(), BODY, final_url=f"http://{host('canary-final')}/robots.txt", error="canary-error")
    seq = made.add(seen)
    for number in range(150):
        at = logs.after(number)
        target = f"/canary-path/{number}?canary-query={number}"
        one = logs.decision(host(), target, at, body=BODY, snapshot_seq=seq, user_agent=f"canary-agent/{number % 3}")
        exempt = "canary-deal" if number % 2 else None
        said = {"client": "canary-client", "detail": "canary-detail", "exemption": exempt, "trace_id": "canary-trace"}
        placed = made.add(replace(one, **said))
        ended = {"error": "canary-answer", "server_ip": "canary-answer", "content_type": "canary/answer"}
        body = hashlib.sha256(str(number).encode()).hexdigest()
        made.add(logs.completion(placed, at, body_sha256=body, **ended))
        signal = {"protocol": "content-signal", "value": "ai-train=no", "scope": None}
        made.add(Signal(recorded_at=at, exchange_id=one.exchange_id, snapshot_seq=None, raw="canary-signal", **signal))
    at = logs.after(200)
    known = {"exchange_id": None, "crawler": "alpha", "client": "canary-client"}
    made.add(Incident(recorded_at=at, incident="malformed_request", detail="canary-incident", **known))
    refused = {"protocol": "connect", "port": 443, "outcome": "refused", "detail": "canary-detail"}
    made.add(Tunnel(recorded_at=at, host=host("canary-tunnel"), **known, **refused))
    made.publish()
    return made.root


@pytest.fixture(scope="module")
def beside(root: Path) -> Path:
    directory = root.parent
    lines = [{"canary-column": f"{number:064x}"} for number in range(4)] + [{"canary-column": "canary-row"}]
    text = "".join(json.dumps(one) + "\n" for one in lines)
    (directory / "canary-manifest.jsonl").write_text(text, encoding="utf-8")
    (directory / "operator.toml").write_text(
        '[japan]\nmodels = ["open-name"]\n[[crawler]]\nid = "alpha"\npurpose_code = "training"\n', encoding="utf-8"
    )
    return directory


@functools.cache
def made(name: str, root: Path) -> tuple[Kind, dict[str, Any]]:
    """A kind with its internal record of the whole log, or of one URL where it can be limited to one."""
    beside = root.parent
    brought = manifest.read(str(beside / "canary-manifest.jsonl"), manifest.By.SHA256, "canary-column")
    kinds = {**{kind.name: kind for kind in KINDS}, "lineage": lineage.kind(brought), "inquiry": inquiry.KIND}
    kind = kinds[name]
    subject = parse_subject(f"http://{host()}/canary-path/7?canary-query=7") if "site" in kind.takes else None
    asked = inquiry.Asked(
        requester_ref="canary-person",
        answered_by="canary-person",
        channel="mail",
        eligibility=(("canary-condition", "yes", "canary-condition"),),
    )
    with open_log(str(root), also=[brought.path]) as log:
        question = Question(
            log=log,
            period=Period(),
            declared=declarations.read(str(beside / "operator.toml")),
            subject=parse_subject(f"http://canary-typed:canary-typed@{host()}") if name == "inquiry" else subject,
            previous=previous(root) if name == "japan" else None,
        )
        if name == "inquiry":
            return kind, inquiry.answer(question, asked)
        return kind, report.record(kind, question)


@functools.cache
def previous(root: Path) -> dict[str, Any]:
    """A statement of the year before at level internal, with a model nobody outside may know of."""
    declared = declarations.Declarations.model_validate({"japan": {"models": ["canary-modelname"]}})
    kind = next(kind for kind in KINDS if kind.name == "japan")
    with open_log(str(root)) as log:
        internal = report.record(kind, Question(log=log, period=Period(), declared=declared))
    shown = report.at_level(internal, report.fields_of(kind), Level.INTERNAL)
    loaded: dict[str, Any] = json.loads(render.json_text(shown))
    return loaded


EVERY = [*(kind.name for kind in KINDS), "inquiry", "lineage"]
# Who asks about a site may read its name, and the signals that it sends itself.
ANSWERED = {name: {"host"} for name in ("violations", "robots-history", "reevaluation", "lineage")}
ANSWERED["inquiry"] = {"host", "signal"}


def given_out(kind: Kind, internal: dict[str, Any], level: Level) -> str:
    """Everything that somebody at a level gets of a record, in every form and language."""
    shown = report.at_level(internal, report.fields_of(kind), level, bytes(32))
    texts = [render.json_text(shown), render.csv_text(kind.table(shown))]
    for language in Language:
        texts.append(render.text(report.document(kind, shown, Words(language))))
        if kind.name == "inquiry" and level is Level.PUBLIC:
            texts.append(render.text(letter.document(shown, language)))
    return "\n".join(texts)


@pytest.mark.parametrize(
    ("level", "hidden"), [(Level.REGULATOR, INSIDE), (Level.PUBLIC, CONFIDENTIAL)], ids=["regulator", "public"]
)
@pytest.mark.parametrize("name", EVERY)
def test_nothing_planted_inside_gets_out(root: Path, beside: Path, name: str, level: Level, hidden: Any) -> None:
    kind, internal = made(name, root)
    out = given_out(kind, internal, level)
    found = {one.lower() for one in re.findall(r"canary[-/]([a-z]+)", out)}
    # Rules of a robots.txt are the site's own publication, and regulators see the one that decided.
    allowed = ANSWERED.get(name, set()) if level is Level.PUBLIC else {"path"}
    urls = re.findall(r"canary-path/[0-9]", out)
    assert urls == []
    assert found & set(hidden) - allowed == set()
    assert "canary-trace" not in out


def test_the_words_were_planted_where_they_could_be_seen(root: Path, beside: Path) -> None:
    inside = "\n".join(given_out(*made(name, root), Level.INTERNAL) for name in EVERY)
    found = {one.lower() for one in re.findall(r"canary[-/]([a-z]+)", inside)}
    # Never shown at all: what no record has a field for.
    nowhere = {"directory", "token", "client", "answer", "incident", "tunnel", "modelname"}
    assert set(CONFIDENTIAL) - nowhere <= found, set(CONFIDENTIAL) - nowhere - found
    assert nowhere & found == set(), nowhere & found


CLAIMS = (
    "compliant",
    "certified",
    "approved by",
    "lawful",
    "trained on",
    "guarantee",
    "認証済",
    "承認済",
    "適法",
    "遵守しました",
)


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_claimed_that_a_log_cannot_show(root: Path, beside: Path, name: str) -> None:
    kind, internal = made(name, root)
    out = given_out(kind, internal, Level.INTERNAL).lower()
    assert [claim for claim in CLAIMS if claim in out] == []
