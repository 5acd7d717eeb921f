"""What the answer to "did you crawl my site?" holds, field by field; the public level is what a requester may get."""

from __future__ import annotations

from crawl_audit.records import RobotsOutcome, SnapshotSource
from reports.fields import Field, Form, RecordType, Show, Source
from reports.limited import SCOPES

BASES = ("jp_p2", "jp_p3", "cop_1_5", "eu_voluntary", "other")
"""Under what an inquiry is answered: Japan's Principle Code 2 or 3, the GPAI Code of Practice 1.5, …"""
TRAINING_USE = (
    "unknown",
    "operator_attested_included",
    "operator_attested_excluded",
    "operator_attested_partial",
)
RESULTS = ("requests_found", "denied_only", "no_record_in_covered_log", "cannot_determine")
SOURCES = tuple(source.value for source in SnapshotSource)
OUTCOMES = tuple(outcome.value for outcome in RobotsOutcome)
_GIVEN = Source.GIVEN
_PERSONS = "names and references of persons"


def _moments(*names: str) -> tuple[Field, ...]:
    return tuple(
        Field(name=name, form=Form.INSTANT, meaning=meaning, label=label, regulator=Show.AS_IS)
        for name, meaning, label in zip(names, ("first", "last"), ("First", "Last"), strict=True)
    )


def _inside(name: str, form: Form, meaning: str, *, regulator: Show | None = None, **more: object) -> Field:
    """A field that a requester does not get."""
    return Field(name=name, form=form, meaning=meaning, public=Show.WITHHELD, regulator=regulator, **more)  # type: ignore[arg-type]


COUNTS = (
    Field(name="forwarded", form=Form.COUNT, meaning="requests that left"),
    Field(name="denied", form=Form.COUNT, meaning="requests that were denied"),
)
INQUIRY = (
    Field(name="reference", form=Form.TEXT, meaning="file number; names nobody", asked_by="CoP 1.5", source=_GIVEN),
    Field(
        name="received_at",
        form=Form.INSTANT,
        meaning="day it was received",
        label="Received",
        asked_by="CoP 1.5, JP P2",
        source=_GIVEN,
        public=Show.DAY,
    ),
    Field(
        name="elapsed_days",
        form=Form.COUNT,
        meaning="whole days from receipt to this answer",
        label="Days until this answer",
        asked_by="CoP 1.5",
        source=Source.TOOL,
        public=Show.AS_IS,
    ),
    Field(name="channel", form=Form.TEXT, meaning="how it came", source=_GIVEN),
    Field(name="basis", form=Form.TEXT, meaning="under what it is answered", source=_GIVEN, words=BASES),
    _inside(
        "requester_ref",
        Form.TEXT,
        "pseudonym of who asked",
        label="Requester",
        source=_GIVEN,
        reason="personal_data",
        note=_PERSONS,
    ),
    _inside(
        "answered_by",
        Form.TEXT,
        "role that answers",
        source=_GIVEN,
        reason="personal_data",
        note=_PERSONS,
    ),
    _inside(
        "eligibility_checks",
        Form.RECORDS,
        "conditions looked at by who answers; never decided here",
        regulator=Show.WITHHELD,
        asked_by="JP P2",
        source=_GIVEN,
        reason="personal_data",
        note=_PERSONS,
        key="condition",
        fields=(
            Field(name="condition", form=Form.TEXT, meaning="in the words of who answers", source=_GIVEN),
            Field(name="met", form=Form.TEXT, meaning="whether it is", source=_GIVEN, words=("yes", "no", "unknown")),
            Field(name="evidence_ref", form=Form.TEXT, meaning="where that is shown", source=_GIVEN),
        ),
    ),
)
ROBOTS = (
    Field(name="from", form=Form.INSTANT, meaning="when the copy was taken", regulator=Show.AS_IS),
    Field(
        name="until",
        form=Form.INSTANT,
        meaning="until when decisions might rest on it",
        label="In force until",
        regulator=Show.AS_IS,
    ),
    Field(name="authority", form=Form.TEXT, meaning="scheme, host and port it governs"),
    Field(name="source", form=Form.TEXT, meaning="`fetched` by the sidecar, `observed` or `shared`", words=SOURCES),
    Field(name="status", form=Form.COUNT, meaning="HTTP status", label="HTTP status", public=Show.AS_IS),
    Field(
        name="outcome",
        form=Form.TEXT,
        meaning="`successful`, `unavailable`, `unreachable`",
        words=OUTCOMES,
        label="Answer",
    ),
    Field(name="sha256", form=Form.TEXT, meaning="digest of its octets", label="SHA-256"),
    Field(
        name="verdicts",
        form=Form.TALLY,
        meaning="matched decisions that rest on it, by verdict",
        public=Show.BAND,
        words=("allowed", "disallowed"),
    ),
    _inside("log", Form.TEXT, "log that has it", reason="security", note="names of sidecars"),
    _inside("seq", Form.COUNT, "its place in that log", reason="security", note="places in a log"),
)
CRAWLERS = (
    Field(name="crawler", form=Form.TEXT, meaning="configured id"),
    Field(name="product_token", form=Form.TEXT, meaning="RFC 9309 product token(s)"),
    Field(name="requests", form=Form.COUNT, meaning="requests decided on"),
    *COUNTS,
    *_moments("first_at", "last_at"),
)
SEARCHED = (
    Field(name="crawler", form=Form.TEXT, meaning="configured id, or the id in a record"),
    Field(name="product_tokens", form=Form.TEXTS, meaning="RFC 9309 product tokens configured"),
)
SIGNALS = (
    Field(name="protocol", form=Form.TEXT, meaning="which protocol"),
    Field(name="host", form=Form.TEXT, meaning="host whose answer or robots.txt carried it"),
    Field(name="raw", form=Form.TEXT, meaning="as sent", label="As sent"),
    Field(name="value", form=Form.TEXT, meaning="as read", label="As read"),
    Field(name="scope", form=Form.TEXT, meaning="whom or what it is for", label="For"),
    Field(name="count", form=Form.COUNT, meaning="how often it was found"),
    *_moments("first_at", "last_at"),
    Field(
        name="requests_after",
        form=Form.COUNT,
        meaning="matched requests to that host that left after it was first found",
        asked_by="CoP 1.3, EU 3.1",
    ),
)
DAYS = (
    Field(name="day", form=Form.TEXT, meaning="day, UTC"),
    Field(name="verdict", form=Form.TEXT, meaning="what robots.txt says of the request"),
    Field(name="action", form=Form.TEXT, meaning="what was done"),
    Field(name="requests", form=Form.COUNT, meaning="how many"),
)
ATTESTATION = (
    Field(name="attested_by", form=Form.TEXT, meaning="who attests", source=Source.DECLARED),
    Field(
        name="attested_at",
        form=Form.TEXT,
        meaning="on which day",
        label="Attested on",
        source=Source.DECLARED,
    ),
    Field(name="reference", form=Form.TEXT, meaning="to what it refers", source=_GIVEN),
)
KNOWN_LIMITS = (
    Field(name="id", form=Form.TEXT, meaning="fixed id", source=Source.TOOL),
    Field(name="text", form=Form.TEXT, meaning="fixed sentence", source=Source.TOOL),
)
NUMBERS = (
    *COUNTS,
    Field(
        name="disallowed",
        form=Form.COUNT,
        meaning="requests judged disallowed: by robots.txt, because it was out of reach, by another opt-out, or for"
        " want of a verdict",
        label="Judged disallowed",
    ),
    Field(
        name="violations",
        form=Form.COUNT,
        meaning="disallowed and forwarded nevertheless",
        label="Disallowed but forwarded",
    ),
    Field(
        name="robots_txt_requests",
        form=Form.COUNT,
        meaning="of the forwarded, those for /robots.txt",
        label="Of these for robots.txt",
    ),
    Field(
        name="content_responses",
        form=Form.COUNT,
        meaning="2xx answers with content, robots.txt not counted",
        label="Answers with content",
    ),
    Field(name="bytes", form=Form.COUNT, meaning="octets of response bodies received", label="Bytes received"),
    Field(name="without_completion", form=Form.COUNT, meaning="forwarded requests whose end is not on record"),
    *_moments("first_at", "last_at"),
)
ASKED = (
    Field(name="result", form=Form.TEXT, meaning="the answer in one word", asked_by="JP P2", words=RESULTS),
    _inside(
        "query",
        Form.TEXT,
        "what was asked about, as typed",
        regulator=Show.WITHHELD,
        source=_GIVEN,
        reason="personal_data",
        note="as typed by who asked; what was searched is given",
    ),
    Field(name="query_normalised", form=Form.TEXT, meaning="the same as it was searched", source=Source.TOOL),
    Field(name="match_scope", form=Form.TEXT, meaning="what it stands for", source=Source.TOOL, words=SCOPES),
)
RECORD = RecordType(
    name="inquiry_answer",
    version="1.0",
    meaning='the answer to "did you crawl my site?"',
    fields=(
        *ASKED,
        Field(name="inquiry", form=Form.RECORD, meaning="the inquiry that is answered", source=_GIVEN, fields=INQUIRY),
        Field(
            name="crawlers_searched",
            form=Form.RECORDS,
            key="crawler",
            meaning="every crawler that the log knows of",
            asked_by="JP P2",
            fields=SEARCHED,
        ),
        *NUMBERS,
        Field(name="robots", form=Form.RECORDS, key="authority", meaning="robots.txt in force", fields=ROBOTS),
        Field(name="robots_count", form=Form.COUNT, meaning="how many copies there are; the earliest are listed"),
        Field(name="crawlers", form=Form.RECORDS, key="crawler", meaning="who asked", fields=CRAWLERS),
        Field(
            name="signals",
            form=Form.RECORDS,
            key="protocol",
            meaning="usage preferences and pacing wishes found",
            asked_by="CoP 1.3, EU 3.1",
            fields=SIGNALS,
        ),
        Field(name="signals_count", form=Form.COUNT, meaning="how many there are; not more than 1,000 are listed"),
        _inside(
            "days",
            Form.RECORDS,
            "requests by day and verdict",
            reason="trade_secret",
            note="months and powers of ten are given",
            key="day",
            fields=DAYS,
        ),
        Field(
            name="training_use_status",
            form=Form.TEXT,
            meaning="the operator's word, else `unknown`; never told from a log",
            label="Used for training",
            asked_by="JP P2",
            source=Source.DECLARED,
            words=TRAINING_USE,
        ),
        Field(
            name="attestation",
            form=Form.RECORD,
            meaning="who says so; null: nobody did",
            source=Source.DECLARED,
            fields=ATTESTATION,
        ),
        Field(
            name="similarity_statement",
            form=Form.TEXT,
            meaning="fixed sentence",
            asked_by="JP P3",
            source=Source.TOOL,
            words=("not determined by this tool",),
        ),
        Field(
            name="infeasibility_explanation",
            form=Form.LOCALISED,
            meaning="why more cannot be told, as the operator file says under the Japanese code; empty: not said",
            asked_by="JP P2, P3",
            source=Source.DECLARED,
        ),
        Field(
            name="cannot_be_known",
            form=Form.RECORDS,
            key="id",
            meaning="what no answer from this log can tell, as far as it applies",
            source=Source.TOOL,
            fields=KNOWN_LIMITS,
        ),
        Field(
            name="same_host",
            form=Form.RECORD,
            meaning="what the host of the URL has; null: no URL was asked about",
            fields=(Field(name="requests", form=Form.COUNT, meaning="requests decided on"), *COUNTS),
        ),
        _inside(
            "evidence_manifest_sha256",
            Form.TEXT,
            "SHA-256 of the list (log, seq, leaf) of the matched decisions, which `--evidence FILE` writes; null: more"
            " than 10,000 matched, and neither `--evidence` nor `--hold` asked for it",
            label="Digest of the list of evidence",
            reason="security",
            note="given to regulators",
        ),
        _inside(
            "legal_hold",
            Form.TEXT,
            "id of the hold that was placed with this answer",
            source=Source.TOOL,
            reason="security",
            note="what is kept for proceedings",
        ),
    ),
)
