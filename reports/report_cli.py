"""``crawl-audit report``: a command for each kind of report, with the options they share."""

# Annotations are values here, not text: which options a command hides depends on its kind.

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from crawl_audit.errors import ConfigurationError
from reports import declarations, operator_file, output, report
from reports.engines import Engine, open_in
from reports.kinds.registry import KINDS
from reports.levels import Level
from reports.log import open_log
from reports.matching import parse_subject
from reports.options import (
    EngineOption,
    FormOption,
    FromOption,
    KeyOption,
    LanguageOption,
    LevelOption,
    LogArgument,
    OperatorOption,
    OutOption,
    StrictOption,
    ToOption,
)
from reports.output import Format
from reports.period import UsageError, parse_instant, parse_period
from reports.report import Kind, Question
from reports.url_key import make_url_key, read_url_key
from reports.words import Language, Words

INCOMPLETE = 3

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Records for regulators, auditors and the public, made of a log and of what the operator declares.

    \b
    Example:
      crawl-audit report activity ./audit-log --operator operator.toml --format html -o activity.html
    """,
)


def register(parent: typer.Typer) -> None:
    """Add the commands to ``crawl-audit``."""
    parent.add_typer(app, name="report")


def _command(kind: Kind) -> Callable[..., None]:
    def hidden(option: str) -> bool:
        return option not in kind.takes

    def command(
        log: LogArgument,
        operator: OperatorOption = None,
        start: FromOption = None,
        end: ToOption = None,
        site: Annotated[
            str | None,
            typer.Option("--site", metavar="DOMAIN", help="this domain, host or URL only", hidden=hidden("site")),
        ] = None,
        as_of: Annotated[
            str | None,
            typer.Option("--as-of", metavar="D", help="the robots.txt of that day", hidden=hidden("as_of")),
        ] = None,
        limit: Annotated[
            int, typer.Option("--limit", min=1, help="rows at most; the others are counted", hidden=hidden("limit"))
        ] = 10_000,
        previous: Annotated[
            str | None,
            typer.Option(
                "--previous", metavar="FILE", help="an earlier one as JSON, for what changed", hidden=hidden("previous")
            ),
        ] = None,
        publish: Annotated[
            str | None,
            typer.Option(
                "--publish", metavar="DIR", help="write page, cards and feed of changes there", hidden=hidden("publish")
            ),
        ] = None,
        level: LevelOption = kind.level,
        form: FormOption = Format.TEXT,
        lang: LanguageOption = Language.EN,
        strict: StrictOption = False,
        url_key: KeyOption = None,
        engine: EngineOption = Engine.DUCKDB,
        out: OutOption = None,
    ) -> None:
        _refuse(kind, site=site, as_of=as_of, previous=previous, publish=publish)
        if publish is not None and out is not None:
            raise UsageError("--publish writes into its own directory: leave -o out.")
        key = None if url_key is None else read_url_key(url_key)
        declared, earlier = declarations.read(operator), _earlier(kind, previous)
        period = parse_period(start, end)
        subject = None if site is None else parse_subject(site)
        with open_in(engine, log) as opened, output.watching(f"Report {kind.name}", opened):
            question = Question(
                log=opened,
                period=period,
                declared=declared,
                subject=subject,
                as_of=None if as_of is None else parse_instant(as_of, "--as-of"),
                rows_max=limit,
                previous=earlier,
            )
            internal = report.record(kind, question)
        shown = report.at_level(internal, report.fields_of(kind), level, key)
        if publish is None:
            give(kind, shown, form, Words(lang), out)
        else:
            publish_cards(kind, report.at_level(internal, report.fields_of(kind), Level.PUBLIC), Words(lang), publish)
        raise typer.Exit(INCOMPLETE if strict and not report.supplied(shown) else 0)

    command.__doc__ = kind.help
    return command


def give(kind: Kind, shown: dict[str, Any], form: Format, words: Words, out: str | None) -> None:
    """Give a record out in the form asked for."""
    output.emit(shown, report.document(kind, shown, words), kind.table(shown), form, out, rows_in=kind.counted)


def publish_cards(kind: Kind, shown: dict[str, Any], words: Words, directory: str) -> None:
    """Bring a directory of cards up to date, and say what changed in it."""
    from reports.publishing import publish  # brings the page with it, which text and JSON need not wait for

    done = publish(shown, report.document(kind, shown, words), words, directory)
    for names, said in (
        (done.published, words("Published for the first time: {names}.", names=", ".join(done.published))),
        (done.changed, words("Changed: {names}.", names=", ".join(done.changed))),
        (done.removed, words("Removed: {names}.", names=", ".join(done.removed))),
    ):
        if names:
            sys.stdout.write(said + "\n")
    if not any((done.published, done.changed, done.removed)):
        sys.stdout.write(words("No card changed: the feed is as it was.") + "\n")


@app.command("init")
def init_command(
    log: Annotated[
        str | None, typer.Argument(metavar="[LOG]", help="log directory: its crawlers are put into the file")
    ] = None,
    out: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="file to write")] = "operator.toml",
) -> None:
    """Write an operator file to fill in: every key, what it means, and which rule asks for it.

    \b
    Example:
      crawl-audit report init ./audit-log -o operator.toml
    """
    if log is None:
        text = operator_file.template()
    else:
        with open_log(log) as opened, output.watching("Crawlers", opened):
            text = operator_file.template(opened)
    operator_file.write_template(out, text)
    sys.stdout.write(f"{out} is written: fill it in, then name it with --operator.\n")


@app.command("url-key")
def url_key_command(
    path: Annotated[str, typer.Argument(metavar="FILE", help="file to write; it must not exist yet")],
) -> None:
    """Make the key of the hashes that stand for URLs at level regulator; only its owner can test a URL with it.

    \b
    Example:
      crawl-audit report url-key url.key
    """
    make_url_key(path)
    sys.stdout.write(f"{path} is written: keep it, and let nobody else read it.\n")


@app.command("schema")
def schema_command(record_type: Annotated[str, typer.Argument(metavar="TYPE")]) -> None:
    """Print the JSON Schema of a type of record, as `record_type` in a record names it.

    \b
    Example:
      crawl-audit report schema crawler_activity > crawler_activity.schema.json
    """
    from reports import schemas  # nothing else here needs every type of record at once

    known = {record.name: record for record in schemas.record_types()}
    if record_type not in known:
        raise UsageError(f"{record_type!r} is no type of record: name one of {', '.join(sorted(known))}.")
    sys.stdout.write(schemas.schema_text(known[record_type]))


def _refuse(kind: Kind, **given: str | None) -> None:
    for option, value in given.items():
        if value is not None and option not in kind.takes:
            raise UsageError(f"`report {kind.name}` takes no --{option.replace('_', '-')}: leave it out.")


def _earlier(kind: Kind, path: str | None) -> dict[str, Any] | None:
    """The record in the JSON file ``path``; raises ConfigurationError where it is none of this kind."""
    if path is None:
        return None
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"The earlier record {path} cannot be read: {error}.") from error
    if not isinstance(content, dict) or content.get("record_type") != kind.record.name:
        raise ConfigurationError(
            f"{path} is no {kind.record.name} record: name what `report {kind.name} --format json -o FILE` wrote."
        )
    return content


for _kind in KINDS:
    app.command(_kind.name)(_command(_kind))
