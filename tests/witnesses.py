"""A witness listening on this machine, for tests."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from reports.witness_server import WitnessServer
from reports.witness_state import WitnessState


@contextlib.contextmanager
def listening(state: WitnessState) -> Iterator[str]:
    """The submission prefix of a witness that serves ``state``, which is closed at the end."""
    server = WitnessServer("127.0.0.1", 0, state)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        state.close()
