"""Keys come from memory, from a file of the owner's alone, or from a command whose word is checked."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from crawl_audit.errors import ConfigurationError
from crawl_audit.seal import Signer, checkpoint_text, origin, verify_note
from proxy_addon.anchor_settings import SigningSettings
from proxy_addon.signing import CommandSigner, SigningError, create_key, read_key, signer_for

LOG = "node1-20261118T110640Z-00000001"
TEXT = checkpoint_text(origin(LOG), 3, bytes(32))

PROGRAM = """
import base64, sys, time
from pathlib import Path
from crawl_audit.note_key import signer_of
text = sys.stdin.buffer.read().decode()
signer = signer_of(Path(sys.argv[1]).read_text())
note = signer.sign_note(text)
form = sys.argv[2]
if form == "note":
    out = note
elif form == "line":
    out = note.rpartition("\\n\\n")[2]
elif form == "bare":
    out = base64.b64encode(signer.sign(text)).decode() + "\\n"
elif form == "other text":
    out = signer.sign_note(text.replace("3", "4"))
elif form == "other signature":
    out = base64.b64encode(signer.sign(text + " ")).decode()
elif form == "slow":
    time.sleep(60)
elif form == "failed":
    sys.exit("the HSM is locked")
else:
    out = form
sys.stdout.buffer.write(out.encode())
"""


@pytest.fixture
def key(tmp_path: Path) -> Path:
    create_key(tmp_path / "log.key", "crawl.example/logs")
    return tmp_path / "log.key"


def command(key: Path, form: str, timeout_s: float = 20) -> CommandSigner:
    return CommandSigner((sys.executable, "-c", PROGRAM, str(key), form), read_key(key).verifier, timeout_s)


def test_by_default_each_log_has_a_key_of_its_own_in_memory() -> None:
    made = [signer_for(SigningSettings(), LOG) for _ in range(2)]
    assert made[0].verifier.name == origin(LOG)
    assert made[0].verifier != made[1].verifier


def test_a_key_file_signs_under_the_name_it_was_made_with(key: Path) -> None:
    signer = signer_for(SigningSettings(key_file=key), LOG)
    assert signer.verifier.name == "crawl.example/logs"
    assert verify_note(signer.sign_note(TEXT), [signer.verifier]) == (signer.verifier,)


def test_a_key_file_is_for_its_owner_alone(key: Path) -> None:
    assert key.stat().st_mode & 0o777 == 0o600
    for mode in (0o640, 0o604, 0o620):
        key.chmod(mode)
        with pytest.raises(ConfigurationError, match="chmod 600"):
            read_key(key)


def test_a_key_file_is_made_for_its_owner_alone_whatever_the_mask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create_key(tmp_path / "k", "k")
    finally:
        os.umask(before)
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600


def test_a_key_file_is_never_overwritten(key: Path) -> None:
    text = key.read_text()
    with pytest.raises(ConfigurationError, match="is not overwritten"):
        create_key(key, "another")
    assert key.read_text() == text


def test_files_and_names_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--name"):
        create_key(tmp_path / "k", "with space")
    assert not (tmp_path / "k").exists()
    with pytest.raises(ConfigurationError, match="cannot be made"):
        create_key(tmp_path / "none" / "k", "k")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_key(tmp_path / "k")
    (tmp_path / "k").write_text("PRIVATE+KEY+x")
    (tmp_path / "k").chmod(0o600)
    with pytest.raises(ConfigurationError, match="no usable key"):
        read_key(tmp_path / "k")


@pytest.mark.parametrize("form", ["note", "line", "bare"])
def test_a_command_may_give_the_note_the_line_or_the_bare_signature(key: Path, form: str) -> None:
    signer = command(key, form)
    assert signer.sign_note(TEXT) == read_key(key).sign_note(TEXT)


@pytest.mark.parametrize("form", ["other text", "other signature", "", "no base64!", "— x AAAA\n", "\x01"])
def test_what_a_command_prints_counts_only_where_it_verifies(key: Path, form: str) -> None:
    with pytest.raises(SigningError, match="printed no signature that holds"):
        command(key, form).sign_note(TEXT)


def test_a_command_that_signs_with_another_key_is_refused(key: Path) -> None:
    other = CommandSigner(
        (sys.executable, "-c", PROGRAM, str(key), "line"), Signer.generate("other").verifier, timeout_s=20
    )
    with pytest.raises(SigningError, match="did not sign with the configured key"):
        other.sign_note(TEXT)


def test_a_command_that_fails_is_quoted(key: Path) -> None:
    with pytest.raises(SigningError, match="ended with 1: the HSM is locked"):
        command(key, "failed").sign_note(TEXT)


def test_a_command_that_is_not_there_is_named() -> None:
    signer = CommandSigner(("no-such-command",), Signer.generate("x").verifier, timeout_s=1)
    with pytest.raises(SigningError, match="no-such-command cannot be run"):
        signer.sign_note(TEXT)


def test_a_command_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; sleep 60 & echo $! > {tmp_path}/child; wait"
    signer = CommandSigner(("sh", "-c", script), Signer.generate("x").verifier, timeout_s=0.5)
    with pytest.raises(SigningError, match=r"within 0\.5 s"):
        signer.sign_note(TEXT)
    deadline = time.monotonic() + 10
    for name in ("pid", "child"):
        stat = Path("/proc") / (tmp_path / name).read_text().strip() / "stat"
        while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline, f"{name} is still running"
            time.sleep(0.01)


def test_the_settings_choose_the_command(key: Path) -> None:
    settings = SigningSettings(command=("signer", "--now"), vkey=read_key(key).verifier.vkey)
    assert signer_for(settings, LOG).verifier == read_key(key).verifier


def test_a_key_that_cannot_be_written_whole_is_not_left_in_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("proxy_addon.signing.os.fsync", fail)
    with pytest.raises(ConfigurationError, match="cannot be written: No space left on device"):
        create_key(tmp_path / "fleet.key", "f")
    assert not (tmp_path / "fleet.key").exists()
