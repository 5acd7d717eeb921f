"""Evidence that lies in an object store: its originals are fetched, and what was never shipped whole is named.

A segment without its ``shipped`` object is not there, whatever files of it are; that some are shows that it was made.
"""

from __future__ import annotations

from collections.abc import Sequence

from crawl_audit.object_address import is_object_address
from reports.findings import Findings, Severity
from reports.log import NotALogError
from reports.remote_session import session


def located(path: str) -> tuple[str, Sequence[str]]:
    """Where the evidence at ``path`` can be read, and the segments of which the upload is not whole.

    Raises NotALogError for an address that is no object store's.
    """
    if not is_object_address(path):
        if "://" in path:
            raise NotALogError(f"{path} is no s3:// address: copy the evidence here first, then name the copy.")
        return path, ()
    mirror = session.mirror(path, evidence=True)
    return str(mirror.root), mirror.torn


def name(torn: Sequence[str], refused: list[tuple[str, str]], findings: Findings) -> None:
    """Each as a finding, and as something that was not checked."""
    for place in torn:
        log, _, span = place.partition("/")
        refused.append((log, span))
        message = "Its upload is not whole, there is no `shipped` object: it was not read."
        findings.add("R2", Severity.WARNING, f"{log} {span}", message)
