"""Receipts lie beside the note they are for, under names that say the size and the authority."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from crawl_audit.errors import LogFormatError
from crawl_audit.records import Instant
from proxy_addon.log_directory import LogDirectory
from proxy_addon.receipts import Receipt, Receipts, Shown
from tests.proxy_addon import anchored
from tests.proxy_addon.anchored import LOG


def receipt(authority: str, suffix: str = "tsr") -> Receipt:
    return Receipt(method="rfc3161", authority=authority, suffix=suffix, octets=b"token", stated_at=Instant(5))


def test_a_note_and_its_receipts_lie_together(tmp_path: Path) -> None:
    shown = anchored.shown(anchored.make(tmp_path))
    receipts = Receipts(LogDirectory(tmp_path))
    assert (receipts.known(LOG), receipts.note(LOG, 3)) == ({}, None)
    receipts.keep_note(shown)
    receipts.keep(shown, receipt("tsa.example"))
    receipts.keep(shown, receipt("w-1", "cosigned"))
    receipts.keep(shown, receipt("bucket", "push.json"))
    names = sorted(path.name for path in receipts.folder(LOG).iterdir())
    assert names == [
        f"000000000003.{end}" for end in ("bucket.push.json", "checkpoint", "tsa.example.tsr", "w-1.cosigned")
    ]
    assert receipts.known(LOG) == {"tsa.example": 3, "w-1": 3, "bucket": 3}
    assert receipts.note(LOG, 3) == shown.note


def test_a_note_that_was_shown_is_not_replaced(tmp_path: Path) -> None:
    made = anchored.make(tmp_path)
    receipts, shown = Receipts(LogDirectory(tmp_path)), anchored.shown(made)
    receipts.keep_note(shown)
    receipts.keep_note(Shown(log=LOG, note=shown.note + "— x AAAAAAA=\n", head=shown.head))
    assert receipts.note(LOG, 3) == shown.note


def test_the_record_of_a_receipt_names_its_octets(tmp_path: Path) -> None:
    shown = anchored.shown(anchored.make(tmp_path))
    record = receipt("tsa").record(shown, Instant(9))
    assert (record.recorded_at, record.stated_at, record.checkpoint_size) == (9, 5, 3)
    assert record.receipt_sha256 == hashlib.sha256(b"token").hexdigest()
    assert record.checkpoint_root == shown.head.root.hex()


def test_what_is_no_note_is_not_shown() -> None:
    with pytest.raises(LogFormatError):
        Shown.of(LOG, "no note")
