"""The commands of ``crawl-audit-proxy`` about keys and anchors: `key`, `enrol`, `anchor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from crawl_audit.errors import ConfigurationError
from proxy_addon import settings
from proxy_addon.admin_client import ask

_ANSWER_S = 600


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(epilog="Example: crawl-audit-proxy key fleet.key --name crawl.example/fleet")(key)
    app.command(epilog="Example: crawl-audit-proxy enrol audit-log --key fleet.key")(enrol)
    app.command(epilog="Example: crawl-audit-proxy anchor --config crawl-audit.toml")(anchor)


def key(
    file: Annotated[Path, typer.Argument(help="File to keep the private key in.")],
    name: Annotated[
        str | None, typer.Option(help="Name of a new key, for example crawl.example/fleet.", metavar="NAME")
    ] = None,
) -> None:
    """Make a signing key that only its owner can read, and print its public key; of an existing file, print that."""
    from proxy_addon.signing import create_key, read_key

    if name is None and not file.exists():
        raise ConfigurationError(f"There is no key in {file}: make one by giving it a name with --name.")
    signer = read_key(file) if name is None else create_key(file, name)
    typer.echo(signer.verifier.vkey)


def enrol(
    log: Annotated[Path, typer.Argument(help="Log directory.")],
    key_file: Annotated[Path, typer.Option("--key", help="The fleet's private key.", metavar="FILE")],
) -> None:
    """Say with the fleet's key which key signs each log, so that auditors need to know the fleet's alone."""
    from proxy_addon.enrolling import enrol as enrol_logs
    from proxy_addon.log_directory import LogDirectory
    from proxy_addon.signing import read_key

    typer.echo(json.dumps(enrol_logs(LogDirectory(log), read_key(key_file))))


def anchor(
    log: Annotated[
        Path | None, typer.Argument(help="Log directory whose sidecar is stopped; without it, a running one is asked.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with settings.", metavar="FILE")] = None,
    admin: Annotated[
        str | None, typer.Option(help="Admin address.  [default: 127.0.0.1:8081]", metavar="HOST:PORT")
    ] = None,
) -> None:
    """Show the log's head to the configured authorities outside and keep what they give for it."""
    if log is not None and admin is not None:
        raise ConfigurationError("Give a log directory or --admin, not both.")
    chosen = settings.load(config, {} if admin is None else {"admin": admin})
    outcomes = _ask(chosen.admin) if log is None else _anchor_stopped(log, chosen)
    typer.echo(json.dumps(outcomes))
    failed = sorted({why for outcome in outcomes for why in outcome["failures"].values()})
    for why in failed:
        typer.echo(why, err=True)
    if failed:
        raise typer.Exit(1)


def _anchor_stopped(log: Path, chosen: settings.Settings) -> list[dict[str, Any]]:
    from proxy_addon.anchoring import Anchoring
    from proxy_addon.log_directory import LogDirectory

    if not chosen.anchors.configured:
        raise ConfigurationError("Nobody is configured to be shown the log: name [anchors] with --config.")
    if not (log / "segments").is_dir():
        raise ConfigurationError(f"{log} is not a log directory: name the one with segments/ inside.")
    directory = LogDirectory(log)
    with directory.acquire():
        return [outcome.document() for outcome in Anchoring(directory, chosen.anchors).show_others(within_s=_ANSWER_S)]


def _ask(address: str) -> list[dict[str, Any]]:
    answered = ask(address, "/anchor", verb="anchor", within_s=_ANSWER_S)
    others = answered.pop("others", [])
    return [answered, *others]
