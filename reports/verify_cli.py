"""``crawl-audit verify``: the command, its options and its exit code."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from reports import brought, output, render, verify, verify_text
from reports.findings import Result
from reports.torn_uploads import located


class Form(StrEnum):
    """Forms of the answer."""

    TEXT = "text"
    JSON = "json"
    MD = "md"


def register(app: typer.Typer) -> None:
    """Add the command to ``crawl-audit``."""
    app.command("verify")(verify_command)


def verify_command(
    evidence: Annotated[
        str,
        typer.Argument(
            metavar="EVIDENCE", help="log or export directory, s3://bucket/prefix, bundle.duckdb, proof.json"
        ),
    ],
    pin: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="a signed head of a log that you kept; may be repeated")
    ] = None,
    trust: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="verifier keys you trust, one a line; may be repeated")
    ] = None,
    tsa_ca: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="PEM certificates of time-stamping authorities")
    ] = None,
    witness: Annotated[list[str] | None, typer.Option(metavar="FILE", help="verifier keys of witnesses")] = None,
    no_replay: Annotated[bool, typer.Option("--no-replay", help="do not make the decisions again")] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, metavar="N", help="processes to check logs in; default: by cores")
    ] = None,
    form: Annotated[Form, typer.Option("--format")] = Form.TEXT,
    out: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="instead of the screen")] = None,
) -> None:
    """Check evidence offline: that no record was changed, that every decision comes out again, what is not covered.

    Pins, keys and certificates are yours, never part of the evidence: without any, the operator's word is all there
    is, and the result is `incomplete` at best.
    Exit code 0: ok, 1: failed, 3: incomplete.

    \b
    Example:
      crawl-audit verify ./audit-log --trust fleet.vkey --pin head-of-yesterday.txt
      crawl-audit verify ./bundle.duckdb --pin head.txt --tsa-ca tsa.pem --format json
    """
    given = brought.read(pins=pin or (), trust=trust or (), witnesses=witness or (), tsa_ca=tsa_ca or ())
    located(evidence)  # what lies in an object store is fetched first, which shows how far it is
    with output.progress("Verifying") as advance:
        answer = verify.verify(evidence, brought=given, replay=not no_replay, progress=advance, jobs=jobs)
    if form is Form.JSON:
        output.write(render.json_text(answer), out)
    else:
        shown = verify_text.document(answer, evidence)
        output.write(render.text(shown) if form is Form.TEXT else render.markdown(shown), out)
    raise typer.Exit(verify.EXIT_CODES[Result(answer["result"])])
