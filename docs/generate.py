"""Writes the generated parts of the documents anew: what the code knows is not written down twice.

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end of NAME -->``.  ``make docs`` runs this;
a test fails while a document differs from what this would write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from crawl_audit import leaf_sql, schema, seal, views
from crawl_audit.records import Action, Basis, Completion, Instant, Outcome
from docs import operations
from docs.tables import table
from reports import schemas
from tests.clients.recipes import RECIPES

DOCUMENTS = Path(__file__).resolve().parent
SCHEMAS = DOCUMENTS / "schemas"
VERIFY_SQL = DOCUMENTS.parent / "reports" / "sql" / "verify.sql"
_PART = re.compile(
    r"(?P<start><!-- generated: (?P<name>[a-z_]+) -->\n).*?(?P<end><!-- end of (?P=name) -->)", re.DOTALL
)
_JSON_TYPES = {
    "TIMESTAMP": "integer, µs",
    "BIGINT": "integer",
    "BOOLEAN": "boolean",
    "VARCHAR": "string",
    "BLOB": "string, base64 of zlib",
    "VARCHAR[]": "list of strings",
}
_KIND_MEANINGS = {
    "run": "the sidecar started or stopped",
    "snapshot": "one robots.txt asked for: what came back, how long it holds",
    "robots_body": "the octets of a robots.txt, once per log",
    "decision": "one request, the verdict, and what was done; durable before it was done",
    "completion": "how one forwarded request ended; at most one per decision",
    "signal": "a usage preference or pacing wish, as found",
    "tunnel": "a connection rather than a request",
    "incident": "anything that makes the log less than complete",
    "seal": "the Merkle root over the entries since the last seal",
    "anchor": "somebody outside has seen a head of the log's tree",
    "gap": "requests left before their record was durable (`fail_open`)",
    "custody": "what was done to logs after they were written: erased, pruned, held",
    "fleet_node": "a sidecar was enrolled in the fleet, or retired",
    "fleet_head": "what one round of the fleet's job found of one log",
}


def view_tables() -> str:
    """Every view with its columns."""
    parts = []
    for view in views.documentation():
        rows = [(f"`{column.name}`", column.sql_type, column.meaning) for column in view.columns]
        parts.append(f"### `{view.name}`\n\n{view.meaning[0].upper()}{view.meaning[1:]}.\n\n")
        parts.append(table(("column", "type", "meaning"), rows) + "\n")
    return "".join(parts)


def entry_tables() -> str:
    """Every kind of entry: name, JSON type, whether it may be null, and how the leaf treats it."""
    parts = []
    for kind in schema.KINDS:
        rows = [
            (
                f"`{column.name}`",
                _JSON_TYPES[column.sql_type] + (" or null" if column.nullable else ""),
                "commitment" if column.sensitive else "left out" if column.bound else "as it is",
            )
            for column in schema.columns(kind)
        ]
        salt = "; its entries carry `salt`" if schema.has_salt(kind) else ""
        parts.append(f"**`{kind}`**: {_KIND_MEANINGS[kind]}{salt}.\n\n")
        parts.append(table(("field", "JSON", "in the leaf"), rows) + "\n")
    return "".join(parts)


def example() -> str:
    """One completion and one small incident with their leaves, and the root over both."""
    salt = bytes(range(16))
    incident = schema.KINDS["incident"](
        recorded_at=Instant(1_795_255_200_000_000),
        incident="malformed_request",
        exchange_id=None,
        crawler="news",
        client="192.0.2.7",
        detail="The request has two Content-Length fields.",
    )
    completion = Completion(
        recorded_at=Instant(1_795_255_200_250_000),
        decision_seq=4,
        outcome=Outcome.COMPLETED,
        error=None,
        status=200,
        request_bytes=0,
        response_bytes=5120,
        content_type="text/html",
        modality="text",
        body_sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        duration_ms=250,
        server_ip="192.0.2.80",
        http_version="HTTP/1.1",
        barrier=None,
    )
    first, second = schema.to_entry(completion), schema.to_entry(incident, salt)
    leaves = [schema.leaf(schema.parse_entry(entry)) for entry in (first, second)]
    commitment = schema.commitment(salt, "client", "192.0.2.7")
    return (
        "```\n"
        f"entry of seq 5   {first}\n"
        f"leaf of seq 5    {leaves[0].hex()}\n\n"
        f"entry of seq 6   {second}\n"
        f"its client_c     {commitment}\n"
        f"leaf of seq 6    {leaves[1].hex()}\n\n"
        f"root of 5 and 6  {seal.merkle_root(leaves).hex()}\n"
        "```\n"
    )


def kinds() -> str:
    """The kinds of record, for architecture.md."""
    return table(("kind", "says"), [(f"`{kind}`", _KIND_MEANINGS[kind]) for kind in schema.KINDS])


def words() -> str:
    """The closed sets of words that readers see most, for the glossary."""
    rows = [
        ("action", ", ".join(f"`{word}`" for word in Action)),
        ("basis", ", ".join(f"`{word}`" for word in Basis)),
        ("outcome", ", ".join(f"`{word}`" for word in Outcome)),
    ]
    return table(("field", "values"), rows)


_WAYS = {"through": "through", "past": "**past the sidecar**", "nowhere": "nowhere"}


def clients() -> str:
    """The last results of the client matrix beside what each client was told, for clients.md."""
    file = DOCUMENTS.parent / "tests" / "clients" / "results.json"
    rows = {row["name"]: row for row in json.loads(file.read_text(encoding="utf-8"))["rows"]}
    cells = []
    for recipe in RECIPES:
        row = rows[recipe.name]
        works = ["yes" if row[scheme] is True else row[scheme] or "no" for scheme in ("http", "https")]
        alone, untrusted = _WAYS[row["variables_alone"]], row["without_ca"]
        told = (recipe.proxy, recipe.trust, recipe.denied)
        cells.append((f"{recipe.name} {row['version']}", *works, *told, alone, untrusted))
    head = ("client", "http", "https", "the proxy", "the CA", "denied", "variables alone", "without the CA")
    made = sorted({f"{row['on']} ({row['where']})" for row in rows.values()})
    return f"Run on {'; '.join(made)}.\n\n" + table(head, cells)


def faults() -> str:
    """The last results of the fault matrix, for reliability.md."""
    rows = json.loads((DOCUMENTS.parent / "tests" / "faults" / "results.json").read_text(encoding="utf-8"))["rows"]
    cells = [
        (
            row["fault"],
            f"{row['runs']:,}",
            f"{row['records']:,}",
            str(row["lost"]),
            str(row["duplicated"]),
            "–" if row["unrecorded"] is None else str(row["unrecorded"]),
            row["control"],
            "passed" if not row["failures"] else "; ".join(row["failures"]),
        )
        for row in rows
    ]
    head = ("fault", "runs", "records", "lost", "duplicated", "unrecorded", "control", "result")
    made = sorted({f"{row['on']} ({row['where']})" for row in rows})
    return f"Run on {'; '.join(made)}.\n\n" + table(head, cells)


_RECORD_HEAD = ("field", "meaning", "asked by", "source", "public", "regulator")


def record_tables() -> str:
    """Every type of record: its fields, who asks for each, where it comes from, and who is shown what."""
    parts = []
    for record in schemas.record_types():
        parts.append(f"### `{record.name}` {record.version}\n\n{record.meaning[0].upper()}{record.meaning[1:]}: ")
        parts.append(f"[{schemas.file_name(record)}](schemas/{schemas.file_name(record)}).\n\n")
        parts.append(_record_table(schemas.rows(record)) + "\n")
    return "".join(parts)


def envelope_table() -> str:
    """What every record carries besides its own fields."""
    return _record_table(schemas.envelope_rows())


def _record_table(rows: list[tuple[str, ...]]) -> str:
    return table(_RECORD_HEAD, [(f"`{path}`", *(cell or "–" for cell in cells)) for path, *cells in rows])


PARTS: dict[str, Callable[[], str]] = {
    "clients": clients,
    "entries": entry_tables,
    "envelope": envelope_table,
    "example": example,
    "faults": faults,
    "kinds": kinds,
    "metrics": operations.metrics,
    "records": record_tables,
    "settings": operations.every_setting,
    "soak": operations.soak,
    "views": view_tables,
    "words": words,
}


def verify_sql() -> str:
    """reports/sql/verify.sql: the leaves of every kind in SQL, in the frame of verify.sql.template."""
    inserts = []
    for kind in schema.KINDS:
        files = f"getvariable('log_directory') || '/segments/*/*/{kind}.parquet'"
        rows = f"SELECT * FROM read_parquet({files}, union_by_name = true, hive_partitioning = false)"
        if schema.has_salt(kind):
            none = ", ".join(f"NULL::{sql_type} AS {name}" for name, sql_type in schema.withheld_columns(kind))
            rows += f" UNION ALL BY NAME SELECT {none} WHERE false"
        leaves = leaf_sql.leaf_select(kind, f"({rows})")
        inserts.append(f"INSERT INTO leaf SELECT log, seq, '{kind}', leaf FROM ({leaves});")
    files = "getvariable('log_directory') || '/segments/*/*/withheld.parquet'"
    inserts.append(
        f"INSERT INTO leaf SELECT log, seq, kind, leaf FROM read_parquet({files}, hive_partitioning = false);"
    )
    template = (DOCUMENTS / "verify.sql.template").read_text(encoding="utf-8")
    return template.replace("{{leaves}}", "\n".join(inserts))


def rendered(text: str) -> str:
    """A document with its generated parts as they should be."""
    return _PART.sub(lambda match: f"{match['start']}\n{PARTS[match['name']]().strip()}\n\n{match['end']}", text)


def schema_files() -> dict[str, str]:
    """The files of docs/schemas that today's declarations give; published ones of older versions stay beside them."""
    return {schemas.file_name(record): schemas.schema_text(record) for record in schemas.record_types()}


def main() -> None:
    """Write every document that has changed."""
    SCHEMAS.mkdir(exist_ok=True)
    for name, text in schema_files().items():
        (SCHEMAS / name).write_text(text, encoding="utf-8")
    for path in sorted(DOCUMENTS.glob("*.md")):
        old = path.read_text(encoding="utf-8")
        new = rendered(old)
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(f"{path.relative_to(DOCUMENTS.parent)} written")
    VERIFY_SQL.write_text(verify_sql(), encoding="utf-8")


if __name__ == "__main__":
    main()
