"""``crawl-audit``: the commands of the readers, and how their errors end."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

import crawl_audit
from crawl_audit.errors import CrawlAuditError, LogFormatError
from reports.commands import Commands
from reports.output import complain
from reports.period import UsageError
from reports.remote_session import session

USAGE, INCOMPLETE, CONFIGURATION, INTERRUPTED = 2, 3, 78, 130

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Read a crawl-audit log: what was crawled, under which robots.txt, and what is not covered.",
    epilog="Exit codes: 0 good, 1 the answer is no or failed, 2 usage, 3 incomplete, 78 configuration.",
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"crawl-audit {crawl_audit.__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    originals: Annotated[
        bool, typer.Option("--originals", help="Of an s3:// LOG, read the segments, never compacted copies of them.")
    ] = False,
) -> None:
    """Options before any command."""
    del version  # its callback has answered it
    session.begin(originals=originals)


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit: errors are one sentence on standard error, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that has no → shows \u2192
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        code = int(app(arguments, prog_name="crawl-audit", standalone_mode=False) or 0)
        sys.stdout.flush()
        if code == INTERRUPTED:  # what typer makes of Ctrl-C
            complain("Interrupted.")
        return code
    except TyperException as error:
        if error.format_message().startswith("Usage:"):  # no command at all
            sys.stderr.write(error.format_message() + "\n")
        else:
            complain(f"{error.format_message().rstrip('.')}; `crawl-audit --help` shows how.")
        return USAGE
    except UsageError as error:
        complain(str(error))
        return USAGE
    except LogFormatError as error:
        complain(str(error))
        return INCOMPLETE
    except CrawlAuditError as error:
        complain(str(error))
        return CONFIGURATION
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has enough; so says `head`
        return 0
    except (KeyboardInterrupt, typer.Abort):
        complain("Interrupted.")
        return INTERRUPTED
    except RuntimeError as error:
        if str(error) != "Query interrupted":  # what DuckDB makes of Ctrl-C
            raise
        complain("Interrupted.")
        return INTERRUPTED
