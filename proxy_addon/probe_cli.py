"""The command `crawl-audit-proxy probe`: is there a way past the sidecar from where it is run?"""

from __future__ import annotations

import json
import ssl
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from crawl_audit.errors import ConfigurationError, CrawlAuditError
from proxy_addon import settings
from proxy_addon.probe_report import Result, worst
from proxy_addon.probing import Probe, proxy_of

EXIT_CODES = {Result.CLOSED: 0, Result.OPEN: 1, Result.INCONCLUSIVE: 3}


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog="Example: crawl-audit-proxy probe --target example.com:443 --target 203.0.113.10:80")(probe)


def probe(
    target: Annotated[
        list[str], typer.Option(help="A site to try, HOST:PORT or an address; may be repeated.", metavar="HOST:PORT")
    ],
    proxy: Annotated[
        str | None, typer.Option(help="The sidecar.  [default: $HTTP_PROXY, else 127.0.0.1:8080]", metavar="URL")
    ] = None,
    cacert: Annotated[
        Path | None,
        typer.Option(help="The sidecar's CA.  [default: $SSL_CERT_FILE, else the system's]", metavar="FILE"),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Patience with each way in seconds.", min=0.1, max=60)] = 3,
    every: Annotated[
        float | None, typer.Option(help="Probe again every so many seconds, without end.", min=1, metavar="SECONDS")
    ] = None,
    record: Annotated[bool, typer.Option(help="Have the sidecar record the result.")] = True,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with settings.", metavar="FILE")] = None,
) -> None:
    """Try to reach a site past the sidecar, as the user and in the place that the crawler runs.

    Prints one JSON line and has the sidecar record it as what the prober declares.  Exit code 0: closed, 1: a way is
    open, 3: inconclusive, because the site was not reached through the sidecar either, has no known address, or the
    result could not be recorded.
    """
    tried = Probe(
        proxy=proxy_of(proxy, settings.load(config).listen if proxy is None else ""),
        timeout_s=timeout,
        trusted=_trusting(cacert),
    )
    while True:
        result = _once(tried, target, record=record)
        if every is None:
            raise typer.Exit(EXIT_CODES[result])
        time.sleep(every)


def _once(tried: Probe, targets: list[str], *, record: bool) -> Result:
    """One round: try, print, record.  What could not be recorded is inconclusive, unless a way is open."""
    findings = [tried.try_all(target) for target in targets]
    result = worst(findings)
    typer.echo(json.dumps({"result": result.value, "targets": [finding.document() for finding in findings]}))
    sys.stdout.flush()
    try:
        for finding in findings if record else ():
            tried.declare(finding)
    except CrawlAuditError as error:
        typer.echo(str(error), err=True)
        return Result.OPEN if result is Result.OPEN else Result.INCONCLUSIVE
    return result


def _trusting(file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if file is None else str(file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"{file} is no file of certificates: name the sidecar's ca.pem with --cacert."
        ) from error
