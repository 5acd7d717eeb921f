"""A stopped log directory with a signed head, and what is shown of it."""

from __future__ import annotations

from pathlib import Path

from crawl_audit import schema
from crawl_audit.records import Seal
from crawl_audit.seal import Checkpoint, Frontier, Signer, checkpoint_text, origin
from proxy_addon.log_directory import LogDirectory
from proxy_addon.receipts import Shown
from tests.logs import SALT, LogBuilder, after, entry, run

LOG = "node1-20261118T110640Z-00000001"
LOG_KEY = Signer.generate(origin(LOG))


def make(path: Path, seals: int = 3, log: str = LOG, signer: Signer = LOG_KEY) -> LogBuilder:
    """A log of so many seals, published in two segments, with its checkpoint; nobody holds the directory."""
    directory = LogDirectory(path)
    with directory.acquire():
        made = LogBuilder(path, log)
        made.add(run(checkpoint_key=signer.verifier.vkey))
        grow(made, seals)
        sign(made, signer)
    return made


def grow(made: LogBuilder, seals: int) -> None:
    """More seals, the first of them in a segment of its own."""
    first = made.seals
    for number in range(first, first + seals):
        made.seal(after(number))
        if number == first:
            made.publish()
    if made.published < len(made.records):
        made.publish()


def head(made: LogBuilder, size: int | None = None) -> Checkpoint:
    frontier = Frontier()
    seals = [record for record in made.records if isinstance(record, Seal)]
    for record in seals[: len(seals) if size is None else size]:
        frontier.append(schema.leaf(schema.parse_entry(entry(record))))
    return Checkpoint(origin=origin(made.log), size=frontier.size, root=frontier.root())


def shown(made: LogBuilder, size: int | None = None, signer: Signer = LOG_KEY) -> Shown:
    state = head(made, size)
    return Shown.of(made.log, signer.sign_note(checkpoint_text(state.origin, state.size, state.root)))


def sign(made: LogBuilder, signer: Signer = LOG_KEY) -> None:
    LogDirectory(made.root).checkpoint(made.log).write_text(shown(made, signer=signer).note)


assert SALT
