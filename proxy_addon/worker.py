"""One worker as a process of its own: told by its supervisor what it is, it serves until it is told to stop.

It ends at once when its supervisor is gone, as what it writes is then recovered by the next start.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from crawl_audit.errors import ConfigurationError, CrawlAuditError
from proxy_addon import operational_log, preflight
from proxy_addon.__main__ import EXIT_CONFIGURATION
from proxy_addon.log_directory import LogDirectory
from proxy_addon.log_locks import LogLocks
from proxy_addon.role import Role, node_of
from proxy_addon.segments import end_with_parent
from proxy_addon.serving import serve_as
from proxy_addon.shared_limits import SharedLimits
from proxy_addon.shared_marks import SharedMarks
from proxy_addon.shared_memory import SharedMemory
from proxy_addon.worker_orders import Orders


def obey(given: Orders) -> int:
    """Serve as ordered; the exit code.  Raises ConfigurationError where the log cannot be begun."""
    log_lines = operational_log.configure(given.worker)
    chosen = given.chosen()
    directory, memory = LogDirectory(chosen.log), SharedMemory(given.memory_descriptor)
    ours = Role(
        node=node_of(chosen, given.worker),
        listen=given.listen,
        worker=given.worker,
        admin_socket=socket.socket(fileno=given.admin_descriptor),
        locks=LogLocks(directory),
        shared_robots=Path(given.shared_robots),
        marks=SharedMarks(memory),
        limits=SharedLimits(memory, list(chosen.crawler_limits()), given.worker),
        predecessor=given.predecessor,
    )
    return serve_as(ours, chosen, directory, preflight.check(chosen), log_lines)


def main() -> int:
    """Read the orders and obey; errors of ours end as one sentence on standard error, as those of the command do."""
    line = sys.stdin.buffer.readline()
    if not line:
        return 0  # the stop came before the orders
    given = Orders.parse(line)
    end_with_parent()
    try:
        return obey(given)
    except CrawlAuditError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONFIGURATION if isinstance(error, ConfigurationError) else 1


if __name__ == "__main__":
    sys.exit(main())
