"""The record of every kind of report about a log, made once: what it shows at each level is then quick to see."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from reports import report
from reports.kinds.registry import KINDS
from reports.levels import Level
from reports.log import open_log
from reports.period import Period
from reports.report import Kind, Question

BY_NAME: dict[str, Kind] = {kind.name: kind for kind in KINDS}
KEY = bytes(range(32))


@functools.cache
def internal(name: str, root: Path) -> dict[str, Any]:
    """The internal record of a kind about the whole log in ``root``, which nobody may change."""
    with open_log(str(root)) as log:
        return report.record(BY_NAME[name], Question(log=log, period=Period()))


def shown(name: str, root: Path, level: Level, key: bytes | None = KEY) -> dict[str, Any]:
    """What ``level`` sees of it."""
    return report.at_level(internal(name, root), report.fields_of(BY_NAME[name]), level, key)
