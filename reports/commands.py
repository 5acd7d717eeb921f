"""The commands of ``crawl-audit`` by name; the module of each is imported when it is asked for.

All of them together take longer to import than one takes to answer; ``--help`` alone needs them all.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from typing import Any

import typer
from typer.core import TyperGroup

MODULES = {
    "verify": "verify_cli",
    "witness": "witness_cli",
    "fleet": "fleet_cli",
    "inquiry": "inquiry_cli",
    "lineage": "lineage_cli",
    "export": "custody_cli",
    "redact": "custody_cli",
    "prune": "custody_cli",
    "status": "reading_cli",
    "explain": "reading_cli",
    "query": "reading_cli",
    "judge": "reading_cli",
    "hold": "custody_cli",
    "report": "report_cli",
}
"""Name of a command → the module whose ``register`` adds it; the order is that of ``--help``."""


class _Lazy(MutableMapping[str, Any]):
    """Name → command, made when it is first looked at."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            module = importlib.import_module(f"reports.{MODULES[name]}")
            app = typer.Typer(rich_markup_mode=None)
            app.callback()(lambda: None)  # a group even where the module has one command only
            module.register(app)
            self._made.update(typer.main.get_group(app).commands)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


class Commands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**{**given, "commands": _Lazy()})
