"""What a supervisor tells a worker before it does anything: one line of JSON on its standard input."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self

from crawl_audit.errors import ConfigurationError
from proxy_addon import settings
from proxy_addon.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """The line as values."""

    settings: str
    """The settings that were checked, as JSON: the worker looks at no file and no variable for them."""
    settings_recorded: str
    """What they are recorded as, to see that they arrived as they were."""
    worker: int
    listen: str
    admin_descriptor: int
    """The listening socket on which the supervisor asks the worker."""
    memory_descriptor: int
    """The memory that all workers share."""
    shared_robots: str
    predecessor: str | None
    """What became of the worker whose place this one takes; null: nobody had it."""

    def line(self) -> bytes:
        """The line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """The orders on a line that :meth:`line` made."""
        return cls(**json.loads(line))

    def chosen(self) -> Settings:
        """The settings; raises ConfigurationError where they are not what the supervisor has."""
        found = settings.load(None, json.loads(self.settings))
        if found.recorded() != self.settings_recorded:
            raise ConfigurationError("The settings did not reach the worker as they were; set workers to 1.")
        return found
