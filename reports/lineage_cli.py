"""``crawl-audit lineage``: the command that holds a log against a data set's manifest."""

# Annotations are values here, not text: typer reads them.

from typing import Annotated

import typer

from reports import declarations, lineage, manifest, output, report
from reports.levels import Level
from reports.log import open_log
from reports.manifest import By
from reports.matching import parse_subject
from reports.options import (
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
from reports.period import parse_period
from reports.report import Question
from reports.report_cli import INCOMPLETE, give
from reports.url_key import read_url_key
from reports.words import Language, Words

DISAGREES = 1


def register(app: typer.Typer) -> None:
    """Add the command to ``crawl-audit``."""
    app.command("lineage")(lineage_command)


def lineage_command(
    log: LogArgument,
    file: Annotated[
        str, typer.Option("--manifest", metavar="FILE", help="Parquet, JSON lines, or text with one value a line")
    ],
    by: Annotated[By | None, typer.Option("--by", help="what it holds; told from it where not given")] = None,
    column: Annotated[
        str | None, typer.Option("--column", metavar="NAME", help="column that holds it, where not `sha256` or `url`")
    ] = None,
    start: FromOption = None,
    end: ToOption = None,
    site: Annotated[str | None, typer.Option("--site", metavar="DOMAIN", help="this domain, host or URL only")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="sites at most; the others are counted")] = 10_000,
    operator: OperatorOption = None,
    level: LevelOption = Level.INTERNAL,
    form: FormOption = Format.TEXT,
    lang: LanguageOption = Language.EN,
    strict: StrictOption = False,
    url_key: KeyOption = None,
    out: OutOption = None,
) -> None:
    """Say per site what was collected, and what of it a data set's manifest holds.

    Digests are SHA-256 of bodies as received, before content decoding, in hexadecimal or base64, with or without
    `sha256:` before them: hash what was received, have the crawler ask for `Accept-Encoding: identity`, or compare
    --by url. Exit code 0: nothing contradicts the operator's attestations, 1: something does, 3: --strict and the
    operator file leaves something out.

    \b
    Example:
      crawl-audit lineage ./audit-log --manifest dataset.parquet --operator operator.toml
      crawl-audit lineage ./audit-log --manifest kept-urls.txt --by url --site example.com --format html -o lineage.html
    """
    period, subject = parse_period(start, end), None if site is None else parse_subject(site)
    declared = declarations.read(operator)
    key = None if url_key is None else read_url_key(url_key)
    with output.waiting("Reading the manifest"):
        brought = manifest.read(file, by, column)
    kind = lineage.kind(brought)
    with open_log(log, also=[brought.path]) as opened, output.watching("Lineage", opened):
        question = Question(log=opened, period=period, declared=declared, subject=subject, rows_max=limit)
        internal = report.record(kind, question)
    shown = report.at_level(internal, report.fields_of(kind), level, key)
    give(kind, shown, form, Words(lang), out)
    if internal["disagreements"]:
        raise typer.Exit(DISAGREES)
    raise typer.Exit(INCOMPLETE if strict and not report.supplied(shown) else 0)
