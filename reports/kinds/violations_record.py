"""What the list of violations holds, field by field."""

from __future__ import annotations

from reports import limited
from reports.fields import Field, Form, RecordType, Show

_NAMES_SITES = "names of sites; given to regulators"
_VOLUMES = "volumes by day; given to regulators"
_COUNTS = (
    Field(name="requests", form=Form.COUNT, meaning="requests decided on, /robots.txt included"),
    Field(
        name="forwarded", form=Form.COUNT, meaning="of these, forwarded: what the violations are to be compared with"
    ),
    Field(name="disallowed", form=Form.COUNT, meaning="requests the site disallows"),
    Field(name="violation_count", form=Form.COUNT, meaning="of these, forwarded nevertheless", label="Violations"),
)
BY_CRAWLER = (Field(name="crawler", form=Form.TEXT, meaning="configured id"), *_COUNTS)
BY_SITE = (
    Field(name="site", form=Form.TEXT, meaning="registrable domain, or the address"),
    *(field for field in _COUNTS if field.name != "requests"),
)
BY_DAY = (
    Field(name="day", form=Form.TEXT, meaning="day (UTC)"),
    *(field for field in _COUNTS if field.name != "requests"),
)
VIOLATION = (
    Field(name="recorded_at", form=Form.INSTANT, meaning="when it was decided on", label="When"),
    Field(name="crawler", form=Form.TEXT, meaning="configured id"),
    Field(name="product_token", form=Form.TEXT, meaning="RFC 9309 product tokens judged by"),
    Field(name="mode", form=Form.TEXT, meaning="`audit` or `enforce`"),
    Field(name="method", form=Form.TEXT, meaning="HTTP method"),
    Field(
        name="url",
        form=Form.TEXT,
        meaning="URL asked for; null: erased from the log",
        label="URL",
        regulator=Show.KEYED,
        reason="trade_secret",
    ),
    Field(name="site", form=Form.TEXT, meaning="registrable domain, or the address"),
    Field(name="basis", form=Form.TEXT, meaning="why the verdict is so"),
    Field(name="rule", form=Form.TEXT, meaning="the rule that decided, as written; null: no rule did"),
    Field(name="rule_line", form=Form.COUNT, meaning="its line in robots.txt", label="Line"),
    Field(
        name="detail",
        form=Form.TEXT,
        meaning="what decided where no rule did",
        regulator=Show.WITHHELD,
        reason="trade_secret",
        note="may quote paths; the rule is given",
    ),
    Field(name="robots_sha256", form=Form.TEXT, meaning="SHA-256 of the robots.txt the verdict rests on"),
    Field(name="log", form=Form.TEXT, meaning="log that holds the decision"),
    Field(name="seq", form=Form.COUNT, meaning="place of the decision in it"),
    Field(name="snapshot_seq", form=Form.COUNT, meaning="place of the snapshot of robots.txt in it"),
    Field(name="exchange_id", form=Form.TEXT, meaning="what `crawl-audit explain` takes to prove it", label="Exchange"),
    Field(name="outcome", form=Form.TEXT, meaning="how the exchange ended; null: its end is not on record"),
    Field(name="status", form=Form.COUNT, meaning="HTTP status of the answer", label="HTTP status"),
    Field(name="bytes", form=Form.COUNT, meaning="octets of the response body received"),
)
RECORD = RecordType(
    name="violations",
    version="1.0",
    meaning="requests that the site disallowed and that were forwarded nevertheless",
    fields=(
        *limited.FIELDS,
        *_COUNTS,
        Field(name="blocked", form=Form.COUNT, meaning="requests the site disallows that were denied"),
        Field(
            name="by_basis",
            form=Form.TALLY,
            meaning="violations by why the site disallows",
            label="Violations by basis",
        ),
        Field(name="by_mode", form=Form.TALLY, meaning="violations by mode in force", label="Violations by mode"),
        Field(
            name="by_crawler",
            form=Form.RECORDS,
            key="crawler",
            meaning="one object per crawler that asked",
            label="Violations by crawler",
            fields=BY_CRAWLER,
        ),
        Field(name="sites_with_violations", form=Form.COUNT, meaning="sites at which there are violations"),
        Field(
            name="by_site",
            form=Form.RECORDS,
            key="site",
            meaning="sites with violations, the most first, as many as --limit allows",
            label="Violations by site",
            fields=BY_SITE,
            public=Show.WITHHELD,
            reason="trade_secret",
            note=_NAMES_SITES,
        ),
        Field(
            name="by_day",
            form=Form.RECORDS,
            key="day",
            meaning="days with requests",
            label="Violations by day",
            fields=BY_DAY,
            public=Show.WITHHELD,
            reason="trade_secret",
            note=_VOLUMES,
        ),
        Field(
            name="not_listed",
            form=Form.COUNT,
            meaning="violations beyond --limit, counted above and not listed",
            label="Violations not listed",
        ),
        Field(
            name="violations",
            form=Form.RECORDS,
            key="exchange_id",
            meaning="the violations, the oldest first",
            label="Violations one by one",
            asked_by="CoP 1.3",
            fields=VIOLATION,
            public=Show.WITHHELD,
            reason="trade_secret",
            note="single requests; given to regulators",
        ),
    ),
)
