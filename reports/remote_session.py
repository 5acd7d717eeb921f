"""What one command has fetched of logs that lie in an object store, so that it sees one state of them throughout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from crawl_audit.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A copy that is read as a log directory, and what must be said of it."""

    root: Path
    address: str
    days: tuple[str, ...] = ()
    """Days that are read from compacted copies."""
    torn: tuple[str, ...] = ()
    """Segments whose upload is not whole; only where that was looked for."""


@dataclass(slots=True)
class Session:
    """The copies of one command."""

    originals: bool = False
    """Whether compacted copies are left alone."""
    _made: dict[tuple[str, bool, bool], Mirror] = field(default_factory=dict)
    _release: list[Callable[[], None]] = field(default_factory=list)

    def begin(self, *, originals: bool) -> None:
        """Forget what an earlier command of this process fetched."""
        self.originals = originals
        self._made.clear()
        while self._release:
            self._release.pop()()

    def is_compacted(self, path: str) -> bool:
        """Whether a directory has compacted days beside what was shipped, and they are wanted."""
        root = Path(path)
        return not self.originals and (root / "shipped").is_dir() and any(root.glob("compacted/*.json"))

    def mirror(self, address: str, *, evidence: bool = False, torn: bool = False) -> Mirror:
        """The copy of what lies at ``address``; ``evidence``: the originals, as they are there now.

        ``torn``: with uploads that are not whole, as is always looked for in evidence.  Raises ConfigurationError and
        LogFormatError in one sentence.
        """
        made = self._made.get((address, evidence, torn))
        if made is None:
            from reports import remote  # brings the client of object stores, which directories need not wait for

            reading = remote.Need.ORIGINALS if self.originals else remote.Need.READING
            found = remote.mirrored(address, remote.Need.EVIDENCE if evidence else reading, torn=torn)
            self._release.append(found.cache.release)
            made = Mirror(root=found.root, address=address, days=found.state.days, torn=found.state.torn)
            self._made[address, evidence, torn] = made
        return made


session = Session()
"""Of this process: each command begins it anew."""


def refuse_change(path: str) -> None:
    """Raise ConfigurationError where ``path`` is an address: what lies there is never changed from here."""
    if "://" in path:
        raise ConfigurationError(
            f"{path} is only read from here: redact, prune and hold in the log directory of the sidecar."
        )
