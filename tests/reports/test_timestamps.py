"""An auditor's certificates come from files, and a file that cannot serve is refused before anything is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawl_audit.errors import LogFormatError
from crawl_audit.timestamp_token import request
from reports.period import UsageError
from reports.timestamps import trusted_authorities
from tests import tsa


def test_tokens_of_every_named_authority_count_and_of_no_other(tmp_path: Path) -> None:
    made = [tsa.make(tmp_path / name) for name in ("a", "b", "c")]
    trusted = trusted_authorities([one.ca for one in made[:2]])
    assert trusted is not None
    tokens = [one.answer(request(b"note")[0]) for one in made]
    assert [trusted.verify(token, b"note").serial for token in tokens[:2]] == [2, 2]
    with pytest.raises(LogFormatError, match="does not verify"):
        trusted.verify(tokens[2], b"note")


def test_without_files_there_is_nobody_to_trust(tmp_path: Path) -> None:
    assert trusted_authorities([]) is None
    with pytest.raises(UsageError, match="cannot be read"):
        trusted_authorities([tmp_path / "none.pem"])
    (tmp_path / "ca.pem").write_text("x")
    with pytest.raises(UsageError, match="--tsa-ca"):
        trusted_authorities([tmp_path / "ca.pem"])
