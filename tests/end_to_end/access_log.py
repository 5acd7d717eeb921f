"""One line of a scripted site's own access log."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Seen:
    """One request as the origin saw it; ``body_bytes`` grows while the body arrives."""

    method: str
    target: str
    at_us: int
    fields: list[tuple[str, str]]
    body_bytes: int = 0

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def field(self, name: str) -> str | None:
        """First value of a field, or None."""
        return next((value for key, value in self.fields if key.lower() == name), None)
