"""``crawl-audit inquiry``: the command that answers "did you crawl my site?", as a record or as a letter."""

# Annotations are values here, not text: typer reads them.

import re
from datetime import date, datetime, time
from enum import StrEnum
from typing import Annotated, Any

import typer

from reports import declarations, letter, matching, output, report
from reports.declarations import Declarations
from reports.engines import Engine, open_in
from reports.kinds import inquiry
from reports.levels import Level
from reports.log import NothingSealedError, look
from reports.matching import EVERYTHING, Subject
from reports.options import (
    EngineOption,
    FromOption,
    KeyOption,
    LanguageOption,
    LogArgument,
    OperatorOption,
    OutOption,
    StrictOption,
    ToOption,
)
from reports.output import Format
from reports.period import Period, UsageError, now, parse_period
from reports.report import Question
from reports.url_key import read_url_key
from reports.words import Language, Words

FAILED, INCOMPLETE = 1, 3
EXIT_CODES = {
    "requests_found": 0,
    "denied_only": 0,
    "no_record_in_covered_log": FAILED,
    "cannot_determine": INCOMPLETE,
}
_CHECK = re.compile(r"(?P<condition>.{1,300}?)=(?P<met>yes|no|unknown)(?::(?P<shown>.{1,300}))?")


class Basis(StrEnum):
    """Under what an inquiry is answered."""

    JP_P2 = "jp_p2"
    JP_P3 = "jp_p3"
    COP_1_5 = "cop_1_5"
    EU_VOLUNTARY = "eu_voluntary"
    OTHER = "other"


def _on_file(name: str, metavar: str, text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text)


def register(app: typer.Typer) -> None:
    """Add the command to ``crawl-audit``."""
    app.command("inquiry")(inquiry_command)


def inquiry_command(
    log: LogArgument,
    domain_or_url: Annotated[str, typer.Argument(metavar="DOMAIN-OR-URL")],
    start: FromOption = None,
    end: ToOption = None,
    operator: OperatorOption = None,
    level: Annotated[Level | None, typer.Option("--level", help="for whose eyes; public: who asked")] = None,
    form: Annotated[Format, typer.Option("--format", help="html: one page that needs nothing else")] = Format.TEXT,
    lang: LanguageOption = Language.EN,
    strict: StrictOption = False,
    url_key: KeyOption = None,
    as_letter: Annotated[bool, typer.Option("--letter", help="an answer letter, at level public")] = False,
    reference: Annotated[str | None, _on_file("--reference", "TEXT", "file number; names nobody")] = None,
    received: Annotated[str | None, _on_file("--received", "D", "day the inquiry was received")] = None,
    basis: Annotated[Basis | None, typer.Option("--basis", help="under what it is answered")] = None,
    channel: Annotated[str | None, _on_file("--channel", "TEXT", "how it came")] = None,
    requester: Annotated[str | None, _on_file("--requester", "REF", "pseudonym of who asks")] = None,
    eligibility: Annotated[
        list[str] | None,
        _on_file("--eligibility", "CONDITION=yes|no|unknown[:WHERE]", "a condition looked at; may be repeated"),
    ] = None,
    evidence: Annotated[
        str | None, _on_file("--evidence", "FILE", "write the list of matched records (log, seq, leaf)")
    ] = None,
    hold: Annotated[bool, typer.Option("--hold", help="place a legal hold on what is asked about first")] = False,
    reason: Annotated[str | None, _on_file("--reason", "TEXT", "why it is held; goes on record")] = None,
    by: Annotated[str | None, _on_file("--by", "NAME", "who answers and holds; a role is enough")] = None,
    engine: EngineOption = Engine.DUCKDB,
    out: OutOption = None,
) -> None:
    """Answer "did you crawl my site?" for a domain, host, host:port or URL.

    A registrable domain stands for all its hosts, another host for itself and its subdomains, a URL for itself alone.
    What is on file about the inquiry is not checked; give pseudonyms. Exit code 0: requests were found, 1: none in the
    time covered, 3: it cannot be told, or --strict and the operator file leaves something out.

    \b
    Example:
      crawl-audit inquiry ./audit-log example.com --from 2026-11-01 --to 2026-11-30
      crawl-audit inquiry ./audit-log https://example.com/private/page --format json
      crawl-audit inquiry ./audit-log example.com --operator operator.toml --letter --lang ja --reference 2026-17
    """
    if as_letter and form in (Format.CSV, Format.JSON):
        raise UsageError(f"A letter has no form {form}: leave out --letter, or choose text, md or html.")
    _refuse_hold(domain_or_url, reason, by, hold=hold)
    subject, period = matching.parse_subject(domain_or_url), parse_period(start, end)
    declared = declarations.read(operator)
    key = None if url_key is None else read_url_key(url_key)
    asked = inquiry.Asked(
        reference=reference,
        received_at=_received(received),
        channel=channel,
        basis=None if basis is None else basis.value,
        requester_ref=requester,
        answered_by=by,
        eligibility=tuple(map(_check, eligibility or ())),
        hold=_held(log, domain_or_url, period, reason or "", by or "") if hold else None,
        evidence=evidence,
    )
    internal = _answer(log, engine, subject, period, declared, asked)
    shown_to = level or (Level.PUBLIC if as_letter else Level.INTERNAL)
    shown = report.at_level(internal, inquiry.FIELDS, shown_to, key)
    words = Words(lang)
    document = letter.document(shown, lang) if as_letter else inquiry.document(shown, words)
    output.emit(shown, document, inquiry.KIND.table(shown), form, out)
    raise typer.Exit(INCOMPLETE if strict and not report.supplied(shown) else EXIT_CODES[shown["result"]])


def _refuse_hold(subject: str, reason: str | None, by: str | None, *, hold: bool) -> None:
    if hold and not (reason and by):
        raise UsageError("--hold needs --reason TEXT and --by NAME: both go on record.")
    if hold and subject == EVERYTHING:
        raise UsageError("A hold on everything is no answer to an inquiry: `crawl-audit hold place LOG all` places it.")
    if reason and not hold:
        raise UsageError("--reason is that of a legal hold: add --hold, or leave it out.")


def _answer(
    log: str, engine: Engine, subject: Subject, period: Period, declared: Declarations, asked: inquiry.Asked
) -> dict[str, Any]:
    try:
        with open_in(engine, log) as opened, output.watching("Searching the log", opened):
            question = Question(log=opened, period=period, declared=declared, subject=subject)
            return inquiry.answer(question, asked)
    except NothingSealedError:
        return inquiry.unanswered(subject, period, len(look(log).live), declared, asked)


def _held(log: str, subject: str, period: Period, reason: str, by: str) -> str:
    """The id of a new hold on what is asked about: placed before the search, so that nothing found can go."""
    from reports import holds, rewriting  # what writes is not needed to answer

    with rewriting.open_bench(log) as bench:
        name, _ = holds.place(bench, subject, period, reason, by)
    return name


def _received(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        day = datetime.combine(date.fromisoformat(text), time())
    except ValueError as error:
        raise UsageError(f"--received {text!r} is not a day: write one like 2026-11-20.") from error
    if day > now():
        raise UsageError(f"--received {text} is in the future: write the day on which the inquiry came.")
    return day


def _check(text: str) -> tuple[str, str, str | None]:
    found = _CHECK.fullmatch(text)
    if found is None:
        raise UsageError(
            f"--eligibility {text!r} is not understood: write CONDITION=yes, =no or =unknown, with :WHERE it is shown."
        )
    return found["condition"], found["met"], found["shown"]
