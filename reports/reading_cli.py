"""``crawl-audit status``, ``explain``, ``query`` and ``judge``: what is asked of a log beside reports and inquiries."""

# Annotations are values here, not text: typer reads them.

import sys
from enum import StrEnum
from typing import Annotated

import typer

from reports import output, render
from reports.log import look, open_log
from reports.options import FromOption, LogArgument, ToOption
from reports.output import Format
from reports.period import UsageError, parse_period
from reports.query import ROWS_MAX, SECONDS_MAX, rendered, run
from reports.torn_uploads import located

FAILED, INCOMPLETE = 1, 3


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``crawl-audit``."""
    app.command("status")(status_command)
    app.command("explain")(explain_command)
    app.command("query")(query_command)
    app.command("judge")(judge_command)


class Plain(StrEnum):
    """Forms of an answer that is not a table."""

    TEXT = "text"
    JSON = "json"
    MD = "md"


class TableForm(StrEnum):
    """Forms of rows that an auditor's own SQL gives."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MD = "md"


def status_command(log: LogArgument, form: Annotated[Plain, typer.Option("--format")] = Plain.TEXT) -> None:
    """Say what is in a log directory and what cannot be read yet.

    \b
    Example:
      crawl-audit status ./audit-log
    """
    from reports import status

    files = look(log, torn=True)
    if files.segments:
        with output.waiting("Reading the log"), open_log(log) as opened:
            answer = status.status(files, opened)
    else:
        answer = status.status(files, None)
    output.emit(answer, status.document(answer), render.Table((), ()), Format(form.value), None)


def explain_command(
    log: LogArgument,
    wanted: Annotated[str, typer.Argument(metavar="EXCHANGE-ID-OR-URL")],
    form: Annotated[Plain, typer.Option("--format")] = Plain.TEXT,
    proof: Annotated[str | None, typer.Option(metavar="FILE", help="also write a proof that can be handed on")] = None,
    withhold: Annotated[str, typer.Option(metavar="FIELDS", help="what the proof leaves out, with commas")] = "client",
) -> None:
    """Show one decision: request, robots.txt with the deciding line marked, the decision made again, the outcome.

    With --proof a file is written that `crawl-audit verify` checks without the log.
    Exit code 1: nothing found, or the decision made again differs.

    \b
    Example:
      crawl-audit explain ./audit-log https://example.com/private/page
      crawl-audit explain ./audit-log 019a0000-0000-7000-8000-000000000001 --proof proof.json
    """
    from reports import explain  # with the keys and certificates of proofs

    with open_log(log) as opened, output.watching("Searching the log", opened):
        answer = explain.explain(opened, wanted)
    if answer is not None and proof is not None:
        located(log)  # the originals, which may have to be fetched
        with output.waiting("Making the proof"):
            made = explain.proof_text(log, answer, withhold)
        output.write(made, proof)
    if answer is None:
        output.complain(
            f"The log has no decision on {wanted}: `crawl-audit inquiry` says what it has and what it covers."
        )
    elif form is Plain.JSON:
        output.write(render.json_text(answer), None)
    else:
        shown = explain.document(answer)
        output.write(render.text(shown) if form is Plain.TEXT else render.markdown(shown), None)
    raise typer.Exit(explain.exit_code(answer))


def query_command(
    log: LogArgument,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="one SELECT over the views; `SHOW TABLES` lists them")],
    form: Annotated[TableForm, typer.Option("--format")] = TableForm.TABLE,
    limit: Annotated[int, typer.Option("--limit", min=1, help="rows at most")] = ROWS_MAX,
    seconds: Annotated[int, typer.Option("--seconds", min=1, help="time at most")] = SECONDS_MAX,
) -> None:
    """Run your own SQL over the views, read-only and locked down.

    \b
    Example:
      crawl-audit query ./audit-log "SELECT site, violations FROM site WHERE violations > 0"
    """
    with open_log(log, seconds=seconds) as opened, output.watching("Running the query", opened):
        result = run(opened, sql, limit)
    sys.stdout.write(rendered(result, form.value))
    if result.cut:
        output.complain(
            f"There are more than {limit} rows and the rest is left out: narrow the query, or raise --limit."
        )


def judge_command(
    urls: Annotated[list[str] | None, typer.Argument(metavar="URL...")] = None,
    robots: Annotated[str | None, typer.Option(metavar="FILE", help="a robots.txt; - for standard input")] = None,
    token: Annotated[list[str] | None, typer.Option(metavar="TOKEN", help="product token; may be repeated")] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="questions from standard input, one JSON a line")] = False,
    log: Annotated[
        str | None,
        typer.Option(metavar="LOG", help="judge again what this log says was fetched from URL, or a domain"),
    ] = None,
    start: FromOption = None,
    end: ToOption = None,
    form: Annotated[Plain, typer.Option("--format")] = Plain.TEXT,
) -> None:
    """Say what would be decided about URLs under a robots.txt, or what one says of the URLs a log has.

    With --log the URLs fetched from a domain are judged again, by --robots FILE or by the last robots.txt on record.
    Exit code 0: all are allowed, 1: at least one is disallowed; with --jsonl 0, or 3 where a line cannot be judged.

    \b
    Example:
      crawl-audit judge --robots robots.txt --token ExampleBot https://example.com/private/page
      crawl-audit judge --jsonl < questions.jsonl
      crawl-audit judge --log ./audit-log --robots todays-robots.txt example.com
    """
    from reports import judging

    if jsonl:
        if urls or robots or token or log:
            raise UsageError("With --jsonl everything comes from standard input: leave out other options and URLs.")
        unanswered = judging.stream(sys.stdin.buffer, sys.stdout)
        if unanswered:
            output.complain(f"{unanswered} of the lines could not be judged; each has an `error` in its answer.")
        raise typer.Exit(INCOMPLETE if unanswered else 0)
    if log is not None:
        from reports import judged_again

        subject = judging.subject_of(urls or [])
        body = None if robots is None else judging.read_robots(robots)
        with open_log(log) as opened, output.watching("Judging again", opened):
            again = judged_again.judged_again(opened, subject, parse_period(start, end), body, token or [])
        output.emit(again, judged_again.document(again), judged_again.table(again), Format(form.value), None)
        raise typer.Exit(FAILED if again["disallowed_now"] else 0)
    raise typer.Exit(FAILED if judging.judge(robots, token or [], urls or [], form.value == "json") else 0)
