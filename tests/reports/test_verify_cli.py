"""``crawl-audit verify`` as people meet it: text, JSON, exit codes."""

from __future__ import annotations

from pathlib import Path

from reports import verify_text
from tests import logs
from tests.reports.command import crawl_audit, refused
from tests.reports.tampering import files, rewrite


def test_ok_says_what_it_shows_and_what_it_does_not(sound: logs.LogBuilder, tmp_path: Path) -> None:
    pin = tmp_path / "pin"
    pin.write_text(sound.note(), encoding="utf-8")
    ran = crawl_audit("verify", sound.root, "--pin", pin)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"Verification of {sound.root}\n")
    assert "\nOK: everything that was checked holds" in ran.out
    assert "30 of 30 decisions" in ran.out
    assert "none was changed, added, left out" in " ".join(ran.out.split())  # lines break where a path is long
    said = " ".join(ran.out.partition("What this does not show")[2].split())
    assert all(limit in said for limit in verify_text.LIMITS)


def test_incomplete_says_what_cannot_be_known(sound: logs.LogBuilder) -> None:
    ran = crawl_audit("verify", sound.root)
    assert ran.code == 3
    assert "H5  " in ran.out
    assert "whoever could write here could have written all of it anew" in " ".join(ran.out.split())


def test_with_a_trusted_key_alone_the_operator_could_have_written_it_anew(
    sound: logs.LogBuilder, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(sound.signer.verifier.vkey, encoding="utf-8")
    ran = crawl_audit("verify", sound.root, "--trust", tmp_path / "key")
    assert ran.code == 3
    assert "the operator could have written all of it anew" in " ".join(ran.out.split())


def test_failed_claims_nothing(sound: logs.LogBuilder) -> None:
    rewrite(files(sound.root, "decision")[1], "SELECT * REPLACE ('GIT' AS method) FROM t")
    ran = crawl_audit("verify", sound.root, "--no-replay", "--format", "json")
    assert (ran.code, ran.json["result"]) == (1, "failed")
    assert [claim[:8] for claim in ran.json["claims"]] == ["Nothing:"]
    assert {"what": "decisions not decided again", "count": 30, "why": "as asked (--no-replay)"} in ran.json[
        "not_checked"
    ]


def test_markdown_goes_to_a_file(sound: logs.LogBuilder, tmp_path: Path) -> None:
    ran = crawl_audit("verify", sound.root, "--format", "md", "-o", tmp_path / "out.md")
    assert (ran.code, ran.out) == (3, "")
    assert (tmp_path / "out.md").read_text().startswith("# Verification of ")


def test_what_is_no_evidence_and_no_key_is_a_usage_error(sound: logs.LogBuilder, tmp_path: Path) -> None:
    assert "There is no" in refused("verify", tmp_path / "none", code=2)
    assert "cannot be read" in refused("verify", sound.root, "--trust", tmp_path / "none", code=2)
