"""The records of a fleet log: which sidecars there are to be, and what each round found of their logs."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from crawl_audit.record_columns import Instant, column, record


class FleetState(StrEnum):
    """What a round of the fleet's job found of one log."""

    OPEN = "open"  # its head has grown, or is not older than it may be
    CLOSED = "closed"  # its last seal closes it: a stop in order, or the recovery by the next start
    SILENT = "silent"  # not closed, and no new head for longer than it may be
    GONE = "gone"  # it was there, or another log names it, and it is not there any more
    ROLLED_BACK = "rolled_back"  # fewer seals than there were before
    FORKED = "forked"  # another history than the one collected before, or a head that its seals do not bear out
    INVALID = "invalid"  # a head that cannot be read, or that no key of the log has signed
    NOT_ENROLLED = "not_enrolled"  # nobody enrolled the sidecar that wrote it, or not with this key
    NEVER_SEEN = "never_seen"  # an enrolled sidecar of which no log was ever found


@record
class FleetNode:
    """A sidecar was enrolled in the fleet, so that it is missed where it is not seen; or it was retired."""

    KIND: ClassVar[str] = "fleet_node"
    recorded_at: Instant = column("when")
    event: str = column("`enrolled` or `retired`")
    node: str = column("name of the sidecar, as its run records state it")
    log_key: str | None = column("C2SP verifier key that signs all its logs; nothing: each log has a key of its own")
    reason: str | None = column("why, as given")


@record
class FleetHead:
    """What one round of the fleet's job found of one log; each enrolled sidecar has such a record in every round."""

    KIND: ClassVar[str] = "fleet_head"
    recorded_at: Instant = column("when the round looked")
    round_index: int = column("0-based index of the round")
    node: str = column("name of the sidecar")
    enrolled: bool = column("whether the sidecar was enrolled at that time")
    subject_log: str | None = column("log it was found of; nothing where the sidecar has none")
    state: FleetState = column(
        "`open`, `closed`, `silent`, `gone`, `rolled_back`, `forked`, `invalid`, `not_enrolled` or `never_seen`"
    )
    size: int | None = column("seals in the tree whose head was found; of a log that is gone, the last head collected")
    root: str | None = column("root of that tree, hex")
    signature: str | None = column("signature line of the head's note, which with the three columns before it is whole")
    log_key: str | None = column("C2SP verifier key that the log's run record names")
    checked_size: int = column("of the seals, how many were there and lead to a head that was signed")
    head_at: Instant | None = column("time of the newest seal, or when its head was first found")
    closing: str | None = column("reason of the closing seal: `shutdown` or `recovered`")
    detail: str | None = column("one sentence where the state is not `open` or `closed`")
