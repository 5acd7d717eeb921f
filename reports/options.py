"""Arguments and options that several commands share, so that each is spelled and explained in one way."""

# Annotations are values here, not text: typer reads them.

from typing import Annotated

import typer

from reports.engines import Engine
from reports.levels import Level
from reports.output import Format
from reports.words import Language

LogArgument = Annotated[
    str, typer.Argument(metavar="LOG", help="log directory (the one with segments/ inside), or s3://bucket/prefix")
]
FromOption = Annotated[str | None, typer.Option("--from", metavar="D", help="first day or instant, UTC")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="D", help="last day (included) or instant (not)")]
OperatorOption = Annotated[str | None, typer.Option("--operator", metavar="FILE", help="TOML: what only you can say")]
LevelOption = Annotated[Level, typer.Option("--level", help="for whose eyes")]
FormOption = Annotated[Format, typer.Option("--format", help="html: one page with charts that needs nothing else")]
LanguageOption = Annotated[Language, typer.Option("--lang", help="language of what people read")]
StrictOption = Annotated[bool, typer.Option("--strict", help="exit 3 where the operator file leaves something out")]
KeyOption = Annotated[
    str | None,
    typer.Option("--url-key", metavar="FILE", help="key of the hashes that stand for URLs at level regulator"),
]
EngineOption = Annotated[Engine, typer.Option("--engine", help="what runs the queries; spark: pip extra [spark]")]
OutOption = Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="file instead of the screen")]
