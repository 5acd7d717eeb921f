"""Every check id that the code can give is explained in docs/evidence.md, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_ID = re.compile(r"\"([FRSHTBDCGP][0-9])\"")
_ROW = re.compile(r"^\| ((?:[FRSHTBDCGP][0-9](?:, )?)+) \|", re.MULTILINE)


def in_code() -> set[str]:
    """The ids written in the modules that verify."""
    modules = [*(ROOT / "reports").glob("*.py"), ROOT / "crawl_audit" / "proof.py"]
    return {name for module in modules for name in _ID.findall(module.read_text(encoding="utf-8"))}


def in_table() -> list[str]:
    """The ids of the table, row by row."""
    text = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8").partition("## Check ids")[2]
    return [name for row in _ROW.findall(text) for name in row.split(", ")]


def test_the_table_of_check_ids_has_those_of_the_code_each_once() -> None:
    assert len(in_table()) == len(set(in_table()))
    assert set(in_table()) == in_code()
    assert len(in_code()) > 40


def test_every_id_that_the_documents_mention_is_in_the_table() -> None:
    documents = ("evidence", "custody", "anchors", "log-format", "auditing")
    said = {
        name
        for document in documents
        for name in re.findall(
            r"(?<![\w.])([FRSHTBDCGP][0-9])(?![\w.])", (ROOT / "docs" / f"{document}.md").read_text(encoding="utf-8")
        )
    }
    assert said <= set(in_table())
