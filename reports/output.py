"""Where an answer goes and in which form: standard output or a file, as text, Markdown, CSV or JSON."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crawl_audit.errors import ConfigurationError
from reports import render

if TYPE_CHECKING:
    from reports.log import Log

_LOOK_S = 0.1
"""Between two looks at how far a query is."""
_SHOWING = threading.Lock()


class Format(StrEnum):
    """A form of an answer."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    MD = "md"
    HTML = "html"


def emit(
    answer: dict[str, Any],
    document: render.Document,
    table: render.Table,
    form: Format,
    path: str | None,
    *,
    rows_in: str = "",
) -> None:
    """Give out an answer.  CSV holds rows only: what else belongs to it goes to ``<path>-metadata.json`` (CSVW's
    name for it), or to standard error where the rows go to standard output; ``rows_in`` is the key of the rows."""
    if form is Format.HTML:
        from reports.page.page import page

        with waiting("Drawing the page"):
            drawn = page(document)
        write(drawn, path)
    elif form is Format.CSV:
        write(render.csv_text(table), path)
        about = {name: value for name, value in answer.items() if name != rows_in}
        if path is None:
            sys.stderr.write(render.json_text(about))
        else:
            write(render.json_text(about), path + "-metadata.json")
    elif form is Format.JSON:
        write(render.json_text(answer), path)
    else:
        write(render.text(document) if form is Format.TEXT else render.markdown(document), path)


def complain(message: str) -> None:
    """Say on standard error, in one sentence, what is wrong."""
    sys.stderr.write(f"crawl-audit: {render.visible(message)}\n")


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
def _display() -> Iterator[bool]:
    """Whether to show what is going on: on a terminal, and where nothing is shown already."""
    if not sys.stderr.isatty() or not _SHOWING.acquire(blocking=False):
        yield False
        return
    try:
        yield True
    finally:
        _SHOWING.release()


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show on a terminal that work is going on; nothing anywhere else."""
    with _display() as shown:
        if not shown:
            yield
            return
        from rich.console import Console

        with Console(stderr=True).status(what):
            yield


@contextmanager
def watching(what: str, log: Log) -> Iterator[None]:
    """Show on a terminal how far the running query of a log is, and its name; nothing anywhere else."""
    with _display() as shown:
        if not shown:
            yield
            return
        with _looking(what, log):
            yield


@contextmanager
def _looking(what: str, log: Log) -> Iterator[None]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    ended = threading.Event()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def look() -> None:
            while not ended.wait(_LOOK_S):
                percent = log.percent()
                named = f"{what}: {log.step}" if log.step else what
                bar.update(task, description=named, completed=percent or 0, total=None if percent is None else 100)

        # DuckDB computes in C++ with the interpreter's lock released, so another thread can ask it how far it is.
        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        try:
            yield
        finally:
            ended.set()
            looking.join()


@contextmanager
def steps(what: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal which step of some work is done now; called with its name.  Nothing elsewhere."""
    with _display() as shown:
        if not shown:
            yield lambda _step: None
            return
        from rich.console import Console

        with Console(stderr=True).status(what) as status:
            yield lambda step: status.update(f"{what}: {step}")


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, moved by what is yielded: called with what is done and the total.  Nothing elsewhere."""
    with _display() as shown:
        if not shown:
            yield lambda _done, _total: None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
