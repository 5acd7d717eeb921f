"""The addon that people write for mitmdump when they want a record: a line of JSON for every answer."""

from __future__ import annotations

import json
import time

from mitmproxy import ctx, http


class JsonLines:
    """Appends to a file in mitmproxy's configuration directory; nothing is judged, sealed or synced."""

    def running(self) -> None:
        """Open the file."""
        self._file = open(f"{ctx.options.confdir}/requests.jsonl", "a", encoding="utf-8")  # noqa: SIM115

    def response(self, flow: http.HTTPFlow) -> None:
        """Write down one exchange."""
        assert flow.response is not None
        line = {
            "at": time.time(),
            "method": flow.request.method,
            "url": flow.request.url,
            "user_agent": flow.request.headers.get("user-agent"),
            "status": flow.response.status_code,
            "bytes": len(flow.response.raw_content or b""),
        }
        self._file.write(json.dumps(line) + "\n")

    def done(self) -> None:
        """Close the file."""
        self._file.close()


addons = [JsonLines()]
