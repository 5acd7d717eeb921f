"""The command ``crawl-audit witness``: arguments to a running witness, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from crawl_audit.errors import ConfigurationError, LogFormatError
from crawl_audit.seal import Verifier
from reports.key_file import make_key, read_key
from reports.witness_server import WitnessServer
from reports.witness_state import WitnessState

_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9_.-]+)):(?P<port>[0-9]{1,5})")


def register(app: typer.Typer) -> None:
    """Add the command to ``crawl-audit``."""
    app.command("witness")(witness_command)


def witness_command(
    state: Annotated[Path, typer.Option("--state", metavar="DIR", help="what was signed; back it up")],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="private key, made where there is none")],
    listen: Annotated[str, typer.Option("--listen", metavar="HOST:PORT")] = "127.0.0.1:8090",
    log_key: Annotated[
        list[str] | None, typer.Option("--log-key", metavar="VKEY", help="public key that signs logs; may be repeated")
    ] = None,
    fleet_key: Annotated[
        list[str] | None,
        typer.Option("--fleet-key", metavar="VKEY", help="public key that enrols the keys of logs; may be repeated"),
    ] = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="name of a new key")] = "",
) -> None:
    """Run a C2SP witness: sign heads of logs, and only such as extend what was signed before.

    \b
    Example:
      crawl-audit witness --state witness --key witness.key --name witness.example/w1 --fleet-key "$VKEY"
    """
    if not (log_key or fleet_key):
        raise ConfigurationError("A witness needs to know whose logs it watches: give --log-key or --fleet-key.")
    if not key.exists() and not name:
        raise ConfigurationError(f"There is no key in {key}: make one by giving it a name with --name.")
    signer = read_key(key) if key.exists() else make_key(key, name)
    host, port = _address(listen)
    remembered = WitnessState(state, signer, log_keys=_keys(log_key), fleet_keys=_keys(fleet_key))
    try:
        server = WitnessServer(host, port, remembered)
    except OSError as error:
        raise ConfigurationError(f"The witness cannot listen on {listen}: {error.strerror}.") from error
    for number in (signal.SIGTERM, signal.SIGINT):
        # In a thread: shutdown waits for serve_forever, which this very thread runs.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    sys.stdout.write(json.dumps({"ready": True, "url": server.url, "vkey": remembered.vkey}) + "\n")
    sys.stdout.flush()
    server.serve_forever(poll_interval=0.2)
    server.server_close()
    remembered.close()


def _keys(vkeys: list[str] | None) -> list[Verifier]:
    try:
        return [Verifier.parse(vkey) for vkey in vkeys or ()]
    except LogFormatError as error:
        raise ConfigurationError(f"{error} Give it as crawl-audit-proxy key prints it.") from error


def _address(value: str) -> tuple[str, int]:
    match = _ADDRESS.fullmatch(value)
    if match is None or int(match["port"]) > 65_535:
        raise ConfigurationError(f"{value!r} is not an address of the form HOST:PORT.")
    return match["v6"] or match["host"], int(match["port"])
