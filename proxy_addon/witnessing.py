"""Obtaining a witness's cosignature by the C2SP tlog-witness protocol.

The witness remembers the last head it signed; it is shown that the new one extends that.  A refusal on these grounds
means that two histories of one log were shown, and is said so.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from crawl_audit import witness
from crawl_audit.errors import LogFormatError
from crawl_audit.records import Instant
from crawl_audit.seal import consistency_proof
from crawl_audit.witness import Cosigner
from proxy_addon.anchor_settings import WitnessSettings
from proxy_addon.posting import AnchorError, Answer, post
from proxy_addon.receipts import Receipt, Shown

METHOD = "witness"
# A cosignature from the future would date the log later than it is.
_AHEAD_S = 300
_SAID_CHARACTERS = 200

Leaves = Callable[[str, int], list[bytes]]
"""The leaf hashes of the first so many seals of a log; raises LogFormatError where they cannot be read."""


class Witness:
    """One witness and what it last signed of each log, as far as we know."""

    def __init__(
        self,
        settings: WitnessSettings,
        timeout_s: float,
        *,
        leaves: Leaves,
        known: Callable[[str], int],
        enrolment: Callable[[str], str | None],
    ) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._cosigner = Cosigner.parse(settings.vkey)
        self._leaves = leaves
        self._known = known
        self._enrolment = enrolment

    def ask(self, shown: Shown) -> Receipt:
        """The note with the witness's cosignature, verified; raises AnchorError."""
        old = min(self._known(shown.log), shown.head.size)
        answer = self._submit(shown, old)
        if answer.status == 404 and self._enrol(shown.log):
            answer = self._submit(shown, old)
        if answer.status == 409 and answer.content_type == witness.SIZE_CONTENT_TYPE:
            answer = self._submit(shown, self._older_than(answer, shown))
        if answer.status in (409, 422):
            raise AnchorError(
                f"The witness {self._settings.name} has signed another history of {shown.log}: keep this log as it is"
                f" and find out which of the two is true ({_said(answer)})."
            )
        if answer.status != 200:
            raise AnchorError(f"The witness {self._settings.name} answered {answer.status}: {_said(answer)}")
        return self._receipt(shown, answer.body)

    def _submit(self, shown: Shown, old: int) -> Answer:
        try:
            leaves = self._leaves(shown.log, shown.head.size) if 0 < old < shown.head.size else []
        except LogFormatError as error:
            raise AnchorError(f"The seals of {shown.log} cannot be read: {error}") from error
        proof = consistency_proof(old, leaves) if leaves else []
        return self._post("add-checkpoint", witness.submission(old, proof, shown.note))

    def _older_than(self, answer: Answer, shown: Shown) -> int:
        """The size the witness says it has signed; AnchorError where our log is shorter than that."""
        try:
            size = witness.parse_size(answer.body.decode("ascii", "replace").removesuffix("\n"))
        except LogFormatError as error:
            raise AnchorError(f"The witness {self._settings.name} answered 409 without a size.") from error
        if size > shown.head.size:
            raise AnchorError(
                f"The witness {self._settings.name} has signed {size} seals of {shown.log}, which has only"
                f" {shown.head.size} here: this log directory is an old or shortened copy."
            )
        return size

    def _enrol(self, log: str) -> bool:
        """Show the witness that the fleet's key vouches for the log's; False where there is nothing to show."""
        note = self._enrolment(log)
        if note is None:
            return False
        answer = self._post("enrol", note.encode("utf-8"))
        if answer.status != 200:
            raise AnchorError(f"The witness {self._settings.name} does not take the enrolment: {_said(answer)}")
        return True

    def _post(self, path: str, body: bytes) -> Answer:
        url = f"{self._settings.url.rstrip('/')}/{path}"
        return post(url, body, content_type="text/plain; charset=utf-8", timeout_s=self._timeout_s)

    def _receipt(self, shown: Shown, lines: bytes) -> Receipt:
        """The cosignatures by the key we know, under the note; others are left out (C2SP tlog-witness)."""
        try:
            given = lines.decode("utf-8").splitlines(keepends=True)
            held = [(line, witness.cosignatures(shown.note + line, [self._cosigner])) for line in given]
        except (UnicodeDecodeError, LogFormatError) as error:
            raise AnchorError(f"The cosignature of {self._settings.name} does not hold: {error}") from error
        ours = [(line, one[-1].at_s) for line, one in held if one]
        if not ours:
            raise AnchorError(f"The witness {self._settings.name} did not sign with the key that is configured.")
        if max(at_s for _, at_s in ours) > time.time() + _AHEAD_S:
            raise AnchorError(f"The cosignature of {self._settings.name} is dated in the future.")
        line, at_s = ours[-1]
        return Receipt(
            method=METHOD,
            authority=self._settings.name,
            suffix="cosigned",
            octets=(shown.note + line).encode("utf-8"),
            stated_at=Instant(at_s * 1_000_000),
        )


def _said(answer: Answer) -> str:
    text = answer.body.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text).strip()[:_SAID_CHARACTERS] or "it said nothing"
