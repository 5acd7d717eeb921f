"""Writes down what the schemas demand today: ``python -m tests.golden.schemas``, before a release only.

Once a version is published, a line of the file never changes: a change of a schema needs a new version, and so a line.
"""

from __future__ import annotations

from pathlib import Path

from reports.schemas import record_types, structure_sha256

PUBLISHED = Path(__file__).resolve().parent / "schemas.txt"


def today() -> dict[str, str]:
    """Type and version → digest of what its schema demands, explanations left out."""
    return {f"{record.name} {record.version}": structure_sha256(record) for record in record_types()}


def published() -> dict[str, str]:
    """The same as written down."""
    lines = PUBLISHED.read_text(encoding="utf-8").splitlines()
    return {name: digest for name, _, digest in (line.rpartition(" ") for line in lines)}


if __name__ == "__main__":
    PUBLISHED.write_text("".join(f"{name} {digest}\n" for name, digest in sorted(today().items())), encoding="utf-8")
