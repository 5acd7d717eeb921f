"""``crawl-audit fleet``: the commands that look at many sidecars at once; each part registers its own here."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from crawl_audit.errors import ConfigurationError, LogFormatError
from crawl_audit.seal import Signer, Verifier
from reports import (
    brought,
    compaction_cli,
    fleet_collect,
    fleet_path,
    fleet_text,
    fleet_verify,
    iceberg_cli,
    output,
    render,
    verify,
)
from reports.findings import Result
from reports.key_file import make_key, read_key
from reports.period import UsageError
from reports.timestamps import trusted_authorities

INCOMPLETE = 3
fleet_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Many sidecars: collect, verify, compact.")


class Form(StrEnum):
    """Forms of an answer."""

    TEXT = "text"
    JSON = "json"


FormOption = Annotated[Form, typer.Option("--format")]
FleetArgument = Annotated[str, typer.Argument(metavar="FLEET", help="directory of the fleet log")]
KeyOption = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="private key of the fleet; default: FLEET.key beside FLEET")
]
CaOption = Annotated[
    list[str] | None, typer.Option("--tsa-ca", metavar="FILE", help="PEM certificates of timestamp authorities")
]


@fleet_app.callback()
def _root() -> None:
    """Many sidecars: collect, verify, compact."""


def register(app: typer.Typer) -> None:
    """Add the group to ``crawl-audit``."""
    compaction_cli.register(fleet_app)
    iceberg_cli.register(fleet_app)
    app.add_typer(fleet_app, name="fleet")


@fleet_app.command("enrol")
def enrol_command(
    fleet: FleetArgument,
    nodes: Annotated[list[str] | None, typer.Argument(metavar="[NODE]…", help="names of sidecars")] = None,
    source: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="LOG", help="every sidecar that has a log here; may be repeated"),
    ] = None,
    log_key: Annotated[
        str | None, typer.Option("--log-key", metavar="VKEY", help="the key that signs every log of these sidecars")
    ] = None,
    retire: Annotated[bool, typer.Option("--retire", help="these are no longer expected")] = False,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="why; goes on record")] = None,
    key: KeyOption = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="name of a new key")] = "",
    form: FormOption = Form.TEXT,
) -> None:
    """Put on record which sidecars there are to be, so that one that is missing is missed.

    \b
    Example:
      crawl-audit fleet enrol ./fleet --from ./audit-log --name crawl.example/fleet
      crawl-audit fleet enrol ./fleet node-17 --retire --reason "scaled down"
    """
    signer = _signer(fleet, key, name)
    wanted = [*(nodes or ()), *fleet_collect.nodes_in(fleet, source or ())]
    if not wanted:
        raise UsageError("Say which sidecars: name them, or a log of theirs with --from.")
    note, changed = fleet_collect.enrol(fleet, signer, wanted, log_key=_vkey(log_key), retire=retire, reason=reason)
    done = "retired" if retire else "enrolled"
    answer = {done: changed, "unchanged": sorted(set(wanted) - set(changed)), "key": signer.verifier.vkey}
    said = f"{len(changed)} sidecars {done}: {', '.join(changed)}." if changed else "Nothing to do: that is on record."
    text = f"{render.visible(said)}\nThe fleet's key is {signer.verifier.vkey}\n\n{note}"
    output.write(render.json_text({**answer, "checkpoint": note}) if form is Form.JSON else text, None)


@fleet_app.command("collect")
def collect_command(
    fleet: FleetArgument,
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE…", help="log directories, or directories of them")],
    key: KeyOption = None,
    tsa: Annotated[list[str] | None, typer.Option("--tsa", metavar="URL", help="RFC 3161 timestamp authority")] = None,
    tsa_ca: CaOption = None,
    silent_after: Annotated[
        float, typer.Option(metavar="N", min=1, help="intervals of idle seals without a new head: silent")
    ] = fleet_collect.SILENT_AFTER,
    publish: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="ship the fleet log to an object store, for example s3://b/fleet"),
    ] = None,
    form: FormOption = Form.TEXT,
) -> None:
    """Make one round: record the head of every sidecar's logs in the fleet log, sign it, have it timestamped.

    For a timer, once an hour.  Exit code 0: the round is on record, 3: it is, and something could not be done.

    \b
    Example:
      crawl-audit fleet collect ./fleet ./logs --tsa https://tsa.example/tsr --tsa-ca tsa.pem
    """
    signer = _signer(fleet, key, "")
    with output.progress("Collecting") as advance:
        made = fleet_collect.collect(
            fleet,
            sources,
            signer,
            tsa=tsa or (),
            authorities=trusted_authorities([Path(path) for path in tsa_ca or ()]),
            silent_after=silent_after,
            publish=publish,
            progress=advance,
        )
    answer = made.answer()
    # The head goes to the screen, and so into the log of whoever runs the job: a second custodian of it.
    output.write(render.json_text(answer) if form is Form.JSON else fleet_text.round_text(answer), None)
    if made.faults:
        raise typer.Exit(INCOMPLETE)


@fleet_app.command("verify")
def verify_command(
    fleet: FleetArgument,
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE]…", help="the logs of the sidecars, as far as you have them")
    ] = None,
    pin: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="a signed head of the fleet log that you kept")
    ] = None,
    trust: Annotated[list[str] | None, typer.Option(metavar="FILE", help="verifier keys: the fleet's")] = None,
    tsa_ca: CaOption = None,
    witness: Annotated[list[str] | None, typer.Option(metavar="FILE", help="verifier keys of witnesses")] = None,
    row: Annotated[
        str | None, typer.Option(metavar="LOG:SEQ", help="show the way from the fleet's head to this record instead")
    ] = None,
    no_replay: Annotated[bool, typer.Option("--no-replay", help="do not make the decisions again")] = False,
    form: FormOption = Form.TEXT,
    out: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="instead of the screen")] = None,
) -> None:
    """Check a fleet from its anchored head down to the records, and name every sidecar that is not as it should be.

    Exit code 0: ok, 1: failed, 3: incomplete.

    \b
    Example:
      crawl-audit fleet verify ./fleet ./logs --trust fleet.vkey --pin fleet-head-of-yesterday.txt
    """
    given = brought.read(pins=pin or (), trust=trust or (), witnesses=witness or (), tsa_ca=tsa_ca or ())
    if row is not None:
        shown = fleet_path.path_of(fleet, sources or (), row, given)
        output.write(render.json_text(shown) if form is Form.JSON else fleet_text.path_text(shown), out)
        raise typer.Exit(verify.EXIT_CODES[Result(shown["result"])])
    with output.progress("Verifying") as advance:
        answer = fleet_verify.verify_fleet(fleet, sources or (), brought=given, replay=not no_replay, progress=advance)
    output.write(render.json_text(answer) if form is Form.JSON else fleet_text.verification_text(answer), out)
    raise typer.Exit(verify.EXIT_CODES[Result(answer["result"])])


def _signer(fleet: str, key: Path | None, name: str) -> Signer:
    path = key if key is not None else Path(f"{fleet.rstrip('/')}.key")
    if path.exists():
        return read_key(path)
    if not name or fleet_collect.begun(fleet):
        raise ConfigurationError(
            f"There is no key in {path}: name the fleet's with --key, or make one with `fleet enrol --name`."
        )
    return make_key(path, name)


def _vkey(given: str | None) -> str | None:
    try:
        return None if given is None else Verifier.parse(given).vkey
    except LogFormatError as error:
        raise UsageError(f"--log-key: {error}") from error
