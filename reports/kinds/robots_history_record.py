"""What a history of robots.txt holds, field by field."""

from __future__ import annotations

from reports import limited
from reports.fields import Field, Form, RecordType, Show

DIFF_LINES_MAX = 40
DIFFS_MAX = 200


def _at(name: str, meaning: str, label: str) -> Field:
    return Field(name=name, form=Form.INSTANT, meaning=meaning, label=label, regulator=Show.AS_IS)


ROOT = (
    Field(name="product_token", form=Form.TEXT, meaning="RFC 9309 product tokens judged by"),
    Field(name="verdict", form=Form.TEXT, meaning="what it says of the path `/`", words=("allowed", "disallowed")),
    Field(name="basis", form=Form.TEXT, meaning="why that is so"),
    Field(name="rule", form=Form.TEXT, meaning="the rule that decides, as written; null: none does"),
    Field(name="rule_line", form=Form.COUNT, meaning="its line"),
)
VERSION = (
    _at("from", "when its first copy was complete", "From"),
    _at("last_fetched_at", "when its last copy was complete; from then to `to` the state is not known", "Last fetched"),
    _at("to", "when another answer came back; null: none did", "To"),
    _at("in_force_until", "until when decisions might rest on it; null: it never came into force", "In force until"),
    Field(name="in_force", form=Form.FLAG, meaning="whether it came into force; what only a crawler saw may not have"),
    Field(name="fetches", form=Form.COUNT, meaning="copies of it, one after the other", label="Copies"),
    Field(name="source", form=Form.TEXT, meaning="`fetched` by the sidecar, `observed` or `shared`: the first copy"),
    Field(
        name="fetched_at",
        form=Form.INSTANT,
        meaning="when a shared first copy was complete where it was fetched; null: it is not shared",
        label="Fetched there",
        regulator=Show.AS_IS,
    ),
    Field(name="origin_log", form=Form.TEXT, meaning="log of the sidecar that fetched it; null: it is not shared"),
    Field(
        name="status", form=Form.COUNT, meaning="HTTP status of the first copy; null: no answer", label="HTTP status"
    ),
    Field(name="outcome", form=Form.TEXT, meaning="`successful`, `unavailable` or `unreachable`"),
    Field(name="error", form=Form.TEXT, meaning="what went wrong; null: nothing"),
    Field(name="sha256", form=Form.TEXT, meaning="SHA-256 of the file; null: there was none"),
    Field(name="bytes", form=Form.COUNT, meaning="its length"),
    Field(name="truncated", form=Form.FLAG, meaning="whether it was cut at 1 MiB"),
    Field(name="looks_like_html", form=Form.FLAG, meaning="whether it is an HTML page"),
    Field(name="final_url", form=Form.TEXT, meaning="URL that gave it, after redirects", label="Final URL"),
    Field(name="redirects", form=Form.COUNT, meaning="redirects on the way"),
    Field(
        name="lines_added",
        form=Form.COUNT,
        meaning="lines that the file before it did not have; null: not compared, or no file before it",
    ),
    Field(name="lines_removed", form=Form.COUNT, meaning="lines that the file before it had, and it has not"),
    Field(
        name="diff",
        form=Form.TEXTS,
        meaning=f"unified diff to the file before it, at most {DIFF_LINES_MAX} lines, of the first {DIFFS_MAX} changes",
    ),
    Field(
        name="root",
        form=Form.RECORDS,
        key="product_token",
        meaning="what it says of the path `/` to each configured crawler",
        label="Of the path /",
        fields=ROOT,
    ),
    Field(
        name="signals", form=Form.TEXTS, meaning="usage preferences and paces in it, or in the tdmrep.json beside it"
    ),
    Field(name="allowed", form=Form.COUNT, meaning="requests of the period allowed by it, /robots.txt not counted"),
    Field(name="disallowed", form=Form.COUNT, meaning="requests of the period disallowed by it"),
    Field(name="violations", form=Form.COUNT, meaning="of these, forwarded nevertheless"),
)
AUTHORITY = (
    Field(name="authority", form=Form.TEXT, meaning="scheme, host and port", label="Authority"),
    Field(name="version_count", form=Form.COUNT, meaning="versions of the period", label="Versions"),
    Field(name="versions", form=Form.RECORDS, key="from", meaning="the versions, in order", fields=VERSION),
)
RECORD = RecordType(
    name="robots_history",
    version="1.0",
    meaning="the robots.txt of each authority over time",
    fields=(
        *limited.FIELDS,
        Field(
            name="authorities_fetched", form=Form.COUNT, meaning="schemes, hosts and ports with a robots.txt on record"
        ),
        Field(name="authorities_changed", form=Form.COUNT, meaning="of these, with more than one robots.txt"),
        Field(name="fetches", form=Form.COUNT, meaning="copies and failed fetches on record, in all", label="Fetches"),
        Field(name="changes", form=Form.COUNT, meaning="versions listed that differ from the one before"),
        Field(name="authorities_not_listed", form=Form.COUNT, meaning="authorities asked for that are not listed"),
        Field(
            name="authorities",
            form=Form.RECORDS,
            key="authority",
            meaning="one object per authority, most versions first",
            asked_by="CoP 1.3, EU 3.1",
            fields=AUTHORITY,
            public=Show.WITHHELD,
            reason="trade_secret",
            note="names of sites; how many there are is given, which goes to regulators",
        ),
    ),
)
