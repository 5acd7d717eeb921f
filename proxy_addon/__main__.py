"""``crawl-audit-proxy``: run the sidecar, make its CA, check its configuration, publish a segment, show a demo."""

from __future__ import annotations

import importlib.util
import sys

EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h


def main() -> None:
    """Entry point; says in one sentence what is missing where the extra is not installed."""
    for module in ("mitmproxy", "pydantic_settings", "httpx", "tornado"):
        if importlib.util.find_spec(module) is None:
            print(
                f"crawl-audit-proxy needs {module}, which is not installed; install the extra: "
                "pip install 'crawl-audit[proxy]'.",
                file=sys.stderr,
            )
            raise SystemExit(EXIT_CONFIGURATION)
    from proxy_addon.cli import run_cli

    run_cli()


if __name__ == "__main__":
    main()
