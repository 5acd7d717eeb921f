"""What became of what was collected, as far as a data set's manifest shows: collected, kept, dropped, per site.

The log has the SHA-256 of every body as received, that is before content decoding, and its URL. A manifest that holds
the one or the other can be held against it. That supports or contradicts an attestation; it proves none, because no log
can show that a manifest is whole.
"""

from __future__ import annotations

from typing import Any

from reports import limited, render
from reports.facts import facts, table
from reports.fields import Field, Form, RecordType, Show, Source
from reports.kinds.inquiry_record import TRAINING_USE
from reports.manifest import By, Manifest, asked, steady
from reports.matching import parameters
from reports.report import Kind, Question
from reports.words import Words

SUPPORTED = "attestation supported by a manifest whose completeness the log cannot show"
CONTRADICTED = "attestation contradicted by a manifest whose completeness the log cannot show"
NOT_ATTESTED = "no attestation that the manifest could support"
STATUSES = (SUPPORTED, CONTRADICTED, NOT_ATTESTED)
_COMPARED = {
    By.SHA256: "SHA-256 of bodies as received, before content decoding: a body that was compressed on the way matches"
    " only where the manifest has the digest of what was received. Equal bodies from several sites count for each.",
    By.URL: "URLs as requested: scheme and host in lower case, without default port and fragment; percent-encoding is"
    " compared as it stands. That a URL is in a manifest does not say that it is the content received.",
}
DISAGREEMENTS = ("attested excluded but kept", "attested included but none kept")
_GIVEN = Source.GIVEN
_DATA_SETS = "tells which data set it is; given to regulators"
_NUMBERS = (
    Field(name="collected", form=Form.COUNT, meaning="2xx answers with content, robots.txt not counted"),
    Field(name="kept", form=Form.COUNT, meaning="of these, in the manifest"),
    Field(name="dropped", form=Form.COUNT, meaning="of these, comparable and not in the manifest"),
    Field(name="not_comparable", form=Form.COUNT, meaning="of these, without a digest or URL on record"),
)
_SITE = (
    Field(name="site", form=Form.TEXT, meaning="registrable domain"),
    *_NUMBERS,
    Field(name="distinct_values", form=Form.COUNT, meaning="different digests or URLs collected"),
    Field(name="distinct_kept", form=Form.COUNT, meaning="of these, in the manifest"),
    Field(
        name="training_use_status",
        form=Form.TEXT,
        meaning="the operator's word, else `unknown`",
        label="Used for training",
        source=Source.DECLARED,
        words=TRAINING_USE,
    ),
    Field(
        name="disagreement",
        form=Form.TEXT,
        meaning="where that and the manifest disagree; null: nowhere",
        source=Source.TOOL,
        words=DISAGREEMENTS,
    ),
)
_MANIFEST = (
    Field(
        name="name",
        form=Form.TEXT,
        meaning="name of the file",
        source=_GIVEN,
        public=Show.WITHHELD,
        reason="trade_secret",
        note=_DATA_SETS,
    ),
    Field(
        name="sha256",
        form=Form.TEXT,
        meaning="SHA-256 of the file",
        label="SHA-256",
        source=_GIVEN,
        # Whoever has a published data set could recognise it by this.
        public=Show.WITHHELD,
        reason="trade_secret",
        note=_DATA_SETS,
    ),
    Field(name="size_bytes", form=Form.COUNT, meaning="its size in octets", label="Octets of the file", source=_GIVEN),
    Field(
        name="form",
        form=Form.TEXT,
        meaning="how it is written",
        label="Form of the file",
        source=_GIVEN,
        words=("parquet", "jsonl", "text"),
    ),
    Field(
        name="by",
        form=Form.TEXT,
        meaning="what is compared",
        label="Compared by",
        source=_GIVEN,
        words=("sha256", "url"),
    ),
    Field(
        name="column",
        form=Form.TEXT,
        meaning="column that holds it; null: one value a line",
        source=_GIVEN,
        none=True,
        public=Show.WITHHELD,
        reason="trade_secret",
        note=_DATA_SETS,
    ),
    Field(name="rows", form=Form.COUNT, meaning="rows of it", source=_GIVEN),
    Field(name="invalid_rows", form=Form.COUNT, meaning="rows without a usable digest or URL", source=_GIVEN),
    Field(
        name="invalid_examples",
        form=Form.TEXTS,
        meaning="the first of these in order, cut",
        source=_GIVEN,
        public=Show.WITHHELD,
        regulator=Show.WITHHELD,
        reason="personal_data",
        note="values from the manifest",
    ),
    Field(name="rows_in_log", form=Form.COUNT, meaning="rows that the log has", source=_GIVEN),
    Field(
        name="rows_not_in_log",
        form=Form.COUNT,
        meaning="usable rows that the log does not have in period and site: from elsewhere, or from before the log",
        source=_GIVEN,
    ),
)
RECORD = RecordType(
    name="lineage",
    version="1.0",
    meaning="what was collected, kept and dropped according to a data set's manifest",
    fields=(
        Field(
            name="status",
            form=Form.TEXT,
            meaning="what this supports, and no more",
            label="What this supports",
            source=Source.TOOL,
            words=STATUSES,
        ),
        Field(
            name="compared",
            form=Form.TEXT,
            meaning="what was compared, and what that leaves open",
            source=Source.TOOL,
            words=tuple(_COMPARED.values()),
        ),
        *limited.FIELDS,
        Field(name="manifest", form=Form.RECORD, meaning="the manifest", source=_GIVEN, fields=_MANIFEST),
        Field(name="totals", form=Form.RECORD, meaning="all sites together", fields=_NUMBERS),
        Field(name="sites_count", form=Form.COUNT, meaning="sites with content received"),
        Field(name="disagreements", form=Form.COUNT, meaning="sites whose attestation the manifest contradicts"),
        Field(
            name="sites",
            form=Form.RECORDS,
            key="site",
            meaning="one object per site, those with a disagreement first",
            fields=_SITE,
            public=Show.WITHHELD,
            reason="trade_secret",
            note="names of sites and volumes; given to regulators",
        ),
        Field(name="sites_left_out", form=Form.COUNT, meaning="sites not listed, for want of room"),
    ),
)

_BY_NAME = {field.name: field for field in RECORD.fields}


def make(question: Question, manifest: Manifest) -> dict[str, Any]:
    """The record at the internal level."""
    scope = {**parameters(question.log, question.subject, question.period), "by": manifest.by.value}
    of_manifest = asked(question.log, manifest, "lineage_manifest", **scope)[0]
    rows = asked(question.log, manifest, "lineage_sites", **scope)
    steady(manifest)
    sites = sorted((_site(row, question) for row in rows), key=lambda one: (one["disagreement"] is None, one["site"]))
    names = [field.name for field in _NUMBERS]
    totals = {name: sum(one[name] for one in sites) for name in names}
    return {
        "status": _status(sites),
        "compared": _COMPARED[manifest.by],
        **limited.limited(question.subject),
        "manifest": {
            "name": manifest.path.name,
            "sha256": manifest.sha256,
            "size_bytes": manifest.size_bytes,
            "form": manifest.kind.value,
            "by": manifest.by.value,
            "column": manifest.column,
            "rows": of_manifest["rows"],
            "invalid_rows": of_manifest["invalid"],
            "invalid_examples": of_manifest["examples"],
            "rows_in_log": of_manifest["matched"],
            "rows_not_in_log": of_manifest["rows"] - of_manifest["invalid"] - of_manifest["matched"],
        },
        "totals": totals,
        "sites_count": len(sites),
        "disagreements": sum(one["disagreement"] is not None for one in sites),
        "sites": sites[: question.rows_max],
        "sites_left_out": max(0, len(sites) - question.rows_max),
    }


def _status(sites: list[dict[str, Any]]) -> str:
    if any(one["disagreement"] for one in sites):
        return CONTRADICTED
    return SUPPORTED if any(one["training_use_status"] != "unknown" for one in sites) else NOT_ATTESTED


def _site(row: dict[str, Any], question: Question) -> dict[str, Any]:
    attested = question.declared.training_use_of(row["site"])
    comparable = row["collected"] - row["not_comparable"]
    made = {**row, "dropped": comparable - row["kept"], "training_use_status": "unknown", "disagreement": None}
    if attested is not None:
        made["training_use_status"] = f"operator_attested_{attested.status}"
        if attested.status == "excluded" and row["kept"]:
            made["disagreement"] = DISAGREEMENTS[0]
        elif attested.status == "included" and comparable and not row["kept"]:
            made["disagreement"] = DISAGREEMENTS[1]
    return made


def body(shown: dict[str, Any], words: Words) -> list[render.Section]:
    """What it comes to, the manifest, the sites."""
    limit = limited.sentence(shown, words)
    first: list[render.Block] = [
        *([] if limit is None else [render.Paragraph(limit)]),
        facts(shown, (_BY_NAME["status"],), words),
        render.Paragraph(words(shown["compared"])),
        facts(shown["totals"], _NUMBERS, words),
        *_parts(shown, words),
    ]
    if shown["disagreements"]:
        said = words("Sites whose attestation the manifest contradicts: {count}.", count=shown["disagreements"])
        first.append(render.Paragraph(said))
    made = [
        render.Section(title=words("Collected, kept, dropped"), blocks=tuple(first)),
        render.Section(title=words("Manifest"), blocks=(facts(shown["manifest"], _MANIFEST, words),)),
    ]
    if shown.get("sites"):
        listed = [{**one, "disagreement": one["disagreement"] or "none"} for one in shown["sites"]]
        blocks: list[render.Block] = [table(listed, _SITE, words)]
        if shown["sites_left_out"]:
            said = words("Sites not listed: {count}; --limit lists more.", count=shown["sites_left_out"])
            blocks.append(render.Paragraph(said))
        made.append(render.Section(title=words("Sites"), blocks=tuple(blocks)))
    elif "sites" not in shown:
        said = words("The sites are withheld at this level; how many there are: {count}.", count=shown["sites_count"])
        made.append(render.Section(title=words("Sites"), blocks=(render.Paragraph(said),)))
    else:
        said = words("No content was received in this period.")
        made.append(render.Section(title=words("Sites"), blocks=(render.Paragraph(said),)))
    return made


def _parts(shown: dict[str, Any], words: Words) -> tuple[render.Chart, ...]:
    """Kept and dropped as parts of what was collected; nothing where the level gives powers of ten."""
    totals = shown["totals"]
    if not totals["collected"] or isinstance(totals["collected"], str):
        return ()
    names = {"kept": words("kept"), "dropped": words("dropped"), "not_comparable": words("not comparable")}
    return (
        render.Chart(
            kind=render.ChartKind.SHARES,
            title=words("Of what was collected"),
            says=words(
                "Of {collected} answers with content {kept} are in the manifest.",
                collected=totals["collected"],
                kept=totals["kept"],
            ),
            table=render.Table(
                (words("What"), words("Answers")), tuple((text, totals[name]) for name, text in names.items())
            ),
            tones=tuple((text, "neutral") for text in names.values()),
        ),
    )


def rows(shown: dict[str, Any]) -> render.Table:
    """The sites as CSV rows."""
    return render.table_of(shown.get("sites", []), [field.name for field in _SITE])


def kind(manifest: Manifest | None = None) -> Kind:
    """The kind of report that holds a log against ``manifest``."""

    def made(question: Question) -> dict[str, Any]:
        assert manifest is not None, "a lineage needs a manifest"
        return make(question, manifest)

    return Kind(
        name="lineage",
        title="Lineage: what was collected, and what a data set kept",
        record=RECORD,
        counted="sites",
        disclaimers=("D-COLLECT", "D-COVER", "D-DECL", "D-NOTCERT"),
        make=made,
        body=body,
        table=rows,
        takes=frozenset({"site", "limit"}),
    )
