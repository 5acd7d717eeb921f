"""What the auditor brings: keys, pins and certificates from files of his own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crawl_audit.seal import Signer, checkpoint_text
from crawl_audit.witness import Cosigner
from reports import brought
from reports.period import UsageError
from tests import logs


def test_pins_keys_and_witnesses_are_read(sound: logs.LogBuilder, tmp_path: Path) -> None:
    pin, trust, witness = (tmp_path / name for name in ("pin", "trust", "witness"))
    pin.write_text(sound.note(2), encoding="utf-8")
    keys = [Signer.generate("fleet.example").verifier, Signer.generate("other.example").verifier]
    trust.write_text("# fleet\n\n" + "\n".join(key.vkey for key in keys))
    witness.write_text(f"{Cosigner.of(keys[0]).vkey}\n{keys[1].vkey}")
    made = brought.read(pins=[str(pin)], trust=[str(trust)], witnesses=[str(witness)])
    assert made.pins[0].head is not None
    assert (made.pins[0].head.size, made.pins[0].fault) == (2, None)
    assert made.trust == tuple(keys)
    assert made.witnesses == tuple(Cosigner.of(key) for key in keys)
    assert made.authorities is None


@pytest.mark.parametrize("content", [b"hello", b"\xff\xfe", b"a\n1\nb\n"])
def test_a_pin_that_is_none_is_kept_as_a_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pin").write_bytes(content)
    (pin,) = brought.read(pins=[str(tmp_path / "pin")]).pins
    assert pin.head is None
    assert pin.fault


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"not a key\n", b"\xff", b"x" * 2_000_000])
def test_a_file_without_keys_is_a_usage_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys").write_bytes(content)
    with pytest.raises(UsageError):
        brought.read(trust=[str(tmp_path / "keys")])


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        brought.read(pins=[str(tmp_path / "none")])


def test_the_lines_that_a_log_collector_has_are_pins(tmp_path: Path) -> None:
    notes = [
        Signer.generate("crawl-audit/l").sign_note(checkpoint_text("crawl-audit/l", size, bytes(32))) for size in (1, 2)
    ]
    lines = ['{"ready": true}', *(json.dumps({"checkpoint": note}) for note in notes), "not JSON", '{"checkpoint": 1}']
    (tmp_path / "stdout").write_text("\n".join(lines), encoding="utf-8")
    pins = brought.read(pins=[str(tmp_path / "stdout")]).pins
    assert [pin.head.size for pin in pins if pin.head is not None] == [1, 2]
    assert [pin.note for pin in pins] == notes


def test_lines_without_a_checkpoint_are_kept_as_a_fault(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_text('{"ready": true}\n', encoding="utf-8")
    (pin,) = brought.read(pins=[str(tmp_path / "stdout")]).pins
    assert pin.fault == "None of its lines holds a checkpoint."
