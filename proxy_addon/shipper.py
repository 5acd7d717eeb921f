"""The process that ships a log directory: looks every other second what is new, and tries again what failed.

Runs beside the sidecar (``python -m proxy_addon.shipper LOG_DIR OPTIONS --with-parent``) at a niceness of 10, so that
it never delays a request.  It writes a JSON line (:class:`ShipStatus`) when something changes.  On standard input a
line ``finish`` asks it to ship what is there and end; when standard input closes it ends at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import json
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from crawl_audit.errors import ConfigurationError, CrawlAuditError
from proxy_addon.log_directory import LogDirectory
from proxy_addon.object_store import ObjectStore, StoreError
from proxy_addon.segments import run_when_idle
from proxy_addon.ship_options import ShipOptions
from proxy_addon.ship_round import Round
from proxy_addon.shipping import ShipStatus, pause_s

_LOOK_S = 2.0
_WAIT_S = 5.0
# A status that did not change is said again after so many looks, so that its times are not stale.
_SAY_EVERY = 15


class Stop:
    """What the parent says on standard input: to finish, or by closing it, to end at once."""

    def __init__(self) -> None:
        self.finishing = threading.Event()

    def listen(self) -> None:
        """Begin to listen, in a thread of its own."""
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while os.read(0, 64):
            self.finishing.set()
        os._exit(3)


@contextmanager
def sole_shipper(directory: LogDirectory) -> Iterator[bool]:
    """Whether nobody else ships this log directory now; if so, nobody else does until the end.  Raises OSError."""
    descriptor = os.open(directory.live / "ship.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def run(directory: LogDirectory, options: ShipOptions, stop: Stop, say: Callable[[ShipStatus], object]) -> None:
    """Ship until asked to finish, then what is there."""
    while True:
        with sole_shipper(directory) as alone:
            if alone:
                _ship(directory, options, stop, say)
                return
        say(ShipStatus(waiting=True))
        if stop.finishing.wait(_WAIT_S):
            say(ShipStatus(waiting=True, done=True))
            return


def ship_once(directory: LogDirectory, options: ShipOptions) -> ShipStatus:
    """Ship what is there and return how that went; the first failure ends it.

    Raises ConfigurationError where somebody else ships it already.
    """
    try:
        for private in (directory.live, directory.tmp):
            private.mkdir(mode=0o700, exist_ok=True)
            (private / "ship.probe").touch()
            (private / "ship.probe").unlink()
    except OSError as error:
        raise ConfigurationError(
            f"The log directory {directory.path} cannot be written: {error.strerror}; run this as the user who does."
        ) from error
    with sole_shipper(directory) as alone:
        if not alone:
            raise ConfigurationError(f"{directory.path} is being shipped by its sidecar already: leave it to that.")
        round_ = Round(directory, ObjectStore(options), options)
        attempt(round_, everything=True)
        return round_.status


def attempt(round_: Round, *, everything: bool = False) -> bool:
    """One round; what failed is in its status."""
    status = round_.status
    try:
        round_.run(everything=everything)
    except (CrawlAuditError, OSError) as error:
        reason = error.reason if isinstance(error, StoreError) else "local"
        status.failures[reason] = status.failures.get(reason, 0) + 1
        status.fault = str(error) if isinstance(error, CrawlAuditError) else f"The log cannot be shipped: {error}."
        return False
    status.fault = None
    return True


def _ship(directory: LogDirectory, options: ShipOptions, stop: Stop, say: Callable[[ShipStatus], object]) -> None:
    round_ = Round(directory, ObjectStore(options), options, say=say)
    failures = looks = 0
    told = ShipStatus()
    while True:
        last = stop.finishing.is_set()
        good = attempt(round_, everything=last)
        failures = 0 if good else failures + 1
        round_.status.done = last and good
        looks += 1
        if round_.status != told or looks % _SAY_EVERY == 0:
            say(round_.status)
            told = dataclasses.replace(round_.status, failures=dict(round_.status.failures))
            told.conflicts, told.problems = list(told.conflicts), list(told.problems)
        if round_.status.done:
            return
        wait = _LOOK_S if good else _pause(options, failures, hurried=last)
        if last:
            threading.Event().wait(min(wait, options.retry_first_s))
        else:
            stop.finishing.wait(wait)


def _pause(options: ShipOptions, failures: int, *, hurried: bool) -> float:
    longest = options.retry_first_s if hurried else options.retry_longest_s
    return pause_s(failures, first_s=options.retry_first_s, longest_s=longest, chance=random.random())  # noqa: S311


def main(arguments: list[str] | None = None) -> int:
    """Ship a log directory until told to finish; 0 when everything was shipped."""
    parser = argparse.ArgumentParser(prog="python -m proxy_addon.shipper", description=main.__doc__)
    parser.add_argument("log_directory", type=Path)
    parser.add_argument("options", type=ShipOptions.from_json)
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    given = parser.parse_args(arguments)
    run_when_idle()
    stop = Stop()
    if given.with_parent:
        stop.listen()

    def say(status: ShipStatus) -> None:
        sys.stdout.write(json.dumps(dataclasses.asdict(status)) + "\n")
        sys.stdout.flush()

    run(LogDirectory(given.log_directory), given.options, stop, say)
    return 0


if __name__ == "__main__":
    sys.exit(main())
