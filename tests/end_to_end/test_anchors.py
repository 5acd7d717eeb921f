"""A sidecar that is anchored while it runs and after it stopped, and what an auditor can verify of it afterwards."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

from crawl_audit.seal import Signer, Verifier
from crawl_audit.witness import Cosigner
from reports.witness_state import WitnessState
from tests import tsa
from tests.end_to_end.harness import Sidecar, command
from tests.end_to_end.origin import Farm
from tests.witnesses import listening

WITNESS = Signer.generate("witness.example/w1")
COSIGNER = Cosigner.of(WITNESS.verifier)


def posted(sidecar: Sidecar, path: str) -> dict[str, object]:
    request = urllib.request.Request(f"http://{sidecar.ready['admin']}{path}", method="POST", data=b"")
    with urllib.request.urlopen(request, timeout=60) as answer:
        made: dict[str, object] = json.load(answer)
        return made


def test_a_log_is_enrolled_stamped_and_witnessed_to_its_last_seal(
    sidecar: Callable[..., Sidecar], sites: Farm, tmp_path: Path
) -> None:
    authority = tsa.make(tmp_path / "tsa")
    started = sidecar()
    key = tmp_path / "log.key"
    vkey = command(started.site, "key", str(key), "--name", "crawl.example/logs").stdout.strip()
    assert started.stop() == 0
    state = WitnessState(tmp_path / "witness", WITNESS, log_keys=[Verifier.parse(vkey)])
    with listening(state) as witness_url, tsa.served(authority) as tsa_url:
        started.settings = f"""
[signing]
key_file = "{key}"
[[anchors.timestamps]]
name = "tsa"
url = "{tsa_url}"
ca_file = "{authority.ca}"
[[anchors.witnesses]]
name = "w1"
url = "{witness_url}"
vkey = "{COSIGNER.vkey}"
"""
        started.log = tmp_path / "anchored"
        started.start()
        origin = sites.start()
        with started.client() as client:
            assert client.get(origin.url + "/a").status_code == 200
        answer = posted(started, "/anchor")
        assert answer["failures"] == {}
        assert started.stop() == 0
    (run,) = started.rows("SELECT log, checkpoint_key FROM run WHERE event = 'start'")
    assert run["checkpoint_key"] == vkey
    records = started.rows("SELECT method, seq FROM anchor ORDER BY method")
    assert [record["method"] for record in records] == ["rfc3161", "witness"]
    (last,) = started.rows("SELECT max(seal_index) + 1 AS size FROM seal")
    receipts = {path.name for path in (started.log / "checkpoints").glob("*.anchors/*")}
    assert {f"{last['size']:012d}.tsa.tsr", f"{last['size']:012d}.w1.cosigned"} <= receipts, "the last seal too"
