"""The command ``crawl-audit-proxy ship``: ship once what lies in a log directory whose sidecar does not run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from crawl_audit.errors import ConfigurationError
from proxy_addon import settings


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog="Example: crawl-audit-proxy ship --config crawl-audit.toml")(ship)


def ship(
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with settings.", metavar="FILE")] = None,
    log: Annotated[Path | None, typer.Option(help="Log directory.  [default: audit-log]", metavar="DIR")] = None,
) -> None:
    """Ship once what is published and not shipped yet; 0 when all of it lies in the object store, verified."""
    from proxy_addon.log_directory import LogDirectory
    from proxy_addon.shipper import ship_once

    chosen = settings.load(config, {} if log is None else {"log": log})
    options = chosen.ship.options()
    if options is None:
        raise ConfigurationError("No object store is configured: name [ship] url with --config or in the environment.")
    if not (chosen.log / "segments").is_dir():
        raise ConfigurationError(f"{chosen.log} is not a log directory: name the one with segments/ inside.")
    status = ship_once(LogDirectory(chosen.log), options)
    typer.echo(
        json.dumps(
            {
                "to": options.url,
                "shipped_segments": status.shipped_segments,
                "shipped_bytes": status.shipped_bytes,
                "unshipped_segments": status.unshipped_segments,
                "removed_segments": status.removed_segments,
            }
        )
    )
    for sentence in status.warnings:
        typer.echo(sentence, err=True)
    if status.unshipped_segments or status.warnings:
        raise typer.Exit(1)
