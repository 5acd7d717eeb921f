"""The commands of ``crawl-audit-proxy``: arguments to settings, errors to one sentence and an exit code."""

from __future__ import annotations

import datetime
import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from crawl_audit import __version__
from crawl_audit.errors import ConfigurationError, CrawlAuditError
from proxy_addon import anchor_cli, ca, policy_settings, probe_cli, settings, ship_cli
from proxy_addon.__main__ import EXIT_CONFIGURATION
from proxy_addon.admin_client import ask

_SEAL_S = 120

app = typer.Typer(
    name="crawl-audit-proxy",
    help="The sidecar: a proxy that judges every request by robots.txt and records it before it leaves.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

anchor_cli.register(app)
probe_cli.register(app)
ship_cli.register(app)

Config = Annotated[Path | None, typer.Option("--config", help="TOML file with settings.", metavar="FILE")]
CaDirectory = Annotated[
    Path | None, typer.Option("--ca", help="Directory of the CA.  [default: audit-ca]", metavar="DIR")
]


def run_cli() -> None:
    """Run the command line; every error of ours ends as one sentence on stderr."""
    try:
        app()
    except ConfigurationError as error:
        typer.echo(str(error), err=True)
        raise SystemExit(EXIT_CONFIGURATION) from None
    except CrawlAuditError as error:
        typer.echo(str(error), err=True)
        raise SystemExit(1) from None


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crawl-audit-proxy {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(
    epilog="Example: crawl-audit-proxy run --log audit-log --crawler news --product-token ExampleBot --mode enforce"
)
def run(
    config: Config = None,
    log: Annotated[Path | None, typer.Option(help="Log directory.  [default: audit-log]", metavar="DIR")] = None,
    listen: Annotated[
        str | None, typer.Option(help="Proxy address.  [default: 127.0.0.1:8080]", metavar="HOST:PORT")
    ] = None,
    admin: Annotated[
        str | None, typer.Option(help="Admin address.  [default: 127.0.0.1:8081]", metavar="HOST:PORT")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="audit: record; enforce: also deny.  [default: audit]", metavar="MODE")
    ] = None,
    crawler: Annotated[str | None, typer.Option(help="Id of the only crawler.", metavar="ID")] = None,
    product_token: Annotated[
        list[str] | None, typer.Option(help="Its RFC 9309 product token; may be repeated.", metavar="TOKEN")
    ] = None,
    ca_directory: CaDirectory = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that serve the port together.  [default: 1]", metavar="N")
    ] = None,
) -> None:
    """Run the sidecar until SIGTERM or Ctrl-C; prints one JSON line when it is ready."""
    overrides = _given(log=log, listen=listen, admin=admin, mode=mode, ca=ca_directory, workers=workers)
    if product_token:
        overrides["crawlers"] = [{"id": crawler or _id_of(product_token[0]), "product_tokens": product_token}]
    elif crawler:
        raise ConfigurationError(f"--crawler {crawler} needs its --product-token.")
    chosen = settings.load(config, overrides)
    if chosen.workers > 1:
        from proxy_addon.supervisor import serve
    else:
        from proxy_addon.serving import serve

    raise typer.Exit(serve(chosen))


@app.command("check-config", epilog="Example: crawl-audit-proxy check-config crawl-audit.toml")
def check_config(file: Annotated[Path, typer.Argument(help="TOML file with settings.")]) -> None:
    """Check a configuration file and print the settings in force, secrets left out."""
    chosen = settings.load(file)
    chosen.crawler_values()
    for sentence in policy_settings.expired(chosen.exemptions, datetime.datetime.now(datetime.UTC)):
        typer.echo(sentence, err=True)
    typer.echo(json.dumps(chosen.public(), indent=2, ensure_ascii=False))


@app.command(
    "ca", epilog="Example: curl --cacert $(crawl-audit-proxy ca) -x http://127.0.0.1:8080 https://example.com/"
)
def make_ca(
    config: Config = None,
    ca_directory: CaDirectory = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Also write the usual public CAs and this one to one file.", metavar="FILE"),
    ] = None,
) -> None:
    """Make the certificate authority where there is none, and print the file that clients have to trust."""
    chosen = settings.load(config, _given(ca=ca_directory))
    now = datetime.datetime.now(datetime.UTC)
    authority = ca.ensure(chosen.ca, now)
    if (warning := authority.warning(now)) is not None:
        typer.echo(warning, err=True)
    if bundle is not None:
        ca.write_bundle(authority, bundle)
    typer.echo(str((authority.certificate if bundle is None else bundle).absolute()))


@app.command(epilog="Example: crawl-audit-proxy seal && crawl-audit status audit-log")
def seal(
    config: Config = None,
    admin: Annotated[
        str | None, typer.Option(help="Admin address.  [default: 127.0.0.1:8081]", metavar="HOST:PORT")
    ] = None,
) -> None:
    """Seal what a running sidecar has recorded and publish it for readers; returns when it can be read."""
    address = settings.load(config, _given(admin=admin)).admin
    typer.echo(json.dumps(ask(address, "/seal", verb="seal", within_s=_SEAL_S)))


@app.command(epilog="Example: crawl-audit-proxy demo --log demo-log")
def demo(
    log: Annotated[
        Path | None, typer.Option(help="New log directory.  [default: demo-log, demo-log-2, …]", metavar="DIR")
    ] = None,
    crawler: Annotated[
        str | None, typer.Option(help="wget, scrapy or plain.  [default: the first that is installed]", metavar="NAME")
    ] = None,
) -> None:
    """Show the whole story without network: local sites, a real crawl, what was denied and why, the reports."""
    from proxy_addon.demo import run as tell

    tell(log, crawler, sys.stdout)


def _id_of(product_token: str) -> str:
    """An id for a crawler of which only the product token was given; settings.py judges the token itself."""
    return re.sub(r"[^A-Za-z0-9]+", "-", product_token).strip("-")[:64] or "crawler"


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
