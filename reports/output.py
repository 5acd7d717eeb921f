"""Where an answer goes and in which form: standard output or a file, as text, Markdown, CSV or JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from crawl_audit.errors import ConfigurationError
from reports import render


class Format(StrEnum):
    """A form of an answer."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    MD = "md"


# Keys of an answer that stand in its table already, and so are not repeated in the metadata beside a CSV file.
_TABULAR = ("crawlers", "sites", "robots", "signals")


def emit(
    answer: dict[str, Any], document: render.Document, table: render.Table, form: Format, path: str | None
) -> None:
    """Give out an answer.  CSV holds rows only: what else belongs to it goes to ``<path>-metadata.json`` (CSVW's
    name for it), or to standard error where the rows go to standard output."""
    if form is Format.CSV:
        write(render.csv_text(table), path)
        about = {name: value for name, value in answer.items() if name not in _TABULAR}
        if path is None:
            sys.stderr.write(render.json_text(about))
        else:
            write(render.json_text(about), path + "-metadata.json")
    elif form is Format.JSON:
        write(render.json_text(answer), path)
    else:
        write(render.text(document) if form is Format.TEXT else render.markdown(document), path)


def write(content: str, path: str | None) -> None:
    """Write ``content`` to the file ``path``, or to standard output; raises ConfigurationError where it cannot."""
    if path is None:
        sys.stdout.write(content)
        return
    try:
        Path(path).write_text(content, encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigurationError(f"The report cannot be written to {path}: {error.strerror}.") from error


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show on a terminal that work is going on; nothing anywhere else."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, moved by what is yielded: called with what is done and the total.  Nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
