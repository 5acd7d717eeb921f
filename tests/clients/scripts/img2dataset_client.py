"""img2dataset on a list of URLs: urllib in worker processes, so the environment decides."""

# ruff: noqa: T201 -- a program of its own, whose output is read

import json
import sys
import tempfile
from pathlib import Path

from img2dataset import download

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        urls = Path(place, "urls.txt")
        urls.write_text("\n".join(sys.argv[1:]))
        download(
            url_list=str(urls),
            output_folder=str(Path(place, "out")),
            processes_count=1,
            thread_count=1,
            output_format="files",
            retries=0,
            timeout=20,
        )
        for file in sorted(Path(place, "out").rglob("*_stats.json")):
            print(json.loads(file.read_text())["status_dict"])
