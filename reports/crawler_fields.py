"""What the record of a crawler's activity holds, field by field, in the groups people read it in."""

from __future__ import annotations

from reports import exemptions, pace
from reports.card_fields import IDENTITY, LISTS, POLICIES, PURPOSE_CODES
from reports.fields import Field, Form, RecordType, Show, Source

AGENTS_MAX = 50
"""User-Agents listed per crawler, the most sent ones; `user_agents_seen` counts them all."""
SITES_MAX = 20
"""Sites listed per crawler, those with the most content; `report sites` has them all."""
STATEMENT = (
    "Collection only: whether what was received was stored, kept after cleaning, or used for training is not known"
    " to this record."
)
MODALITIES = ("text", "image", "video", "audio", "other", "unknown")
CONTENT = "2xx answers with at least one octet, robots.txt left out; cut short ones included"

_D = Source.DECLARED
_VOLUMES = "volumes by day; given to regulators"
_NAMES = "names of sites and volumes; given to regulators"
_CARD = {field.name: field for field in (*IDENTITY, *POLICIES, *LISTS)}


def _ratio(name: str, meaning: str, label: str = "", asked_by: str = "") -> Field:
    return Field(
        name=name,
        form=Form.TEXT,
        meaning=f"{meaning}: two digits, never rounded to all or nothing; `suppressed`: of fewer than 100",
        none=True,
        label=label,
        asked_by=asked_by,
    )


def _of_card(*names: str) -> tuple[Field, ...]:
    """Fields that the public card has as well."""
    return tuple(_CARD[name] for name in names)


CONFIGURED = Field(
    name="configured_purpose",
    form=Form.TEXT,
    meaning="purpose in the settings that the latest run recorded; null: none",
    label="Purpose in the settings",
    words=(*PURPOSE_CODES, "search"),
    open=True,
    none=True,
)
WHO = (
    Field(name="crawler", form=Form.TEXT, meaning="configured id", asked_by="EU 2.3 b, JP P1", label="Id"),
    *_of_card("client_name", "operated_by", "on_behalf_of", "purpose_code", "purpose"),
    CONFIGURED,
    *_of_card("trigger", "targeted_content", "docs_uri", "contacts", "ips_uri", "jwks_uri"),
)
AGENT = (
    *_of_card("expected_user_agent"),
    Field(name="product_tokens", form=Form.TEXTS, meaning="RFC 9309 product tokens judged by", asked_by="EU 2.3 b"),
    Field(
        name="token_in_user_agent",
        form=Form.COUNT,
        meaning="requests whose User-Agent holds a product token",
        label="Requests with a product token in User-Agent",
    ),
    _ratio("token_in_user_agent_ratio", "share of these in all requests", "Share with a product token in User-Agent"),
    Field(name="user_agents_seen", form=Form.COUNT, meaning="different User-Agents sent", label="User-Agents seen"),
)
PERIOD = (
    Field(
        name="collection_from",
        form=Form.INSTANT,
        meaning="first forwarded request",
        asked_by="EU 2.3 e, JP P1",
        label="First request forwarded",
    ),
    Field(
        name="collection_to",
        form=Form.INSTANT,
        meaning="last forwarded request",
        asked_by="EU 2.3 e, JP P1",
        label="Last request forwarded",
    ),
    Field(
        name="collection_ongoing",
        form=Form.FLAG,
        meaning="it asked again after the period, or the sidecar of its last request has no stop on record",
        label="Collection goes on",
    ),
    Field(
        name="period_source",
        form=Form.TEXT,
        meaning="`log and operator`: an earlier period, before the log, is declared as well",
        label="Period known from",
        words=("log", "log and operator"),
    ),
    Field(
        name="earlier_from",
        form=Form.TEXT,
        meaning="begin of the earlier period, MM/YYYY",
        label="Before the log, from",
        source=_D,
        optional=True,
    ),
    Field(
        name="earlier_to",
        form=Form.TEXT,
        meaning="end of the earlier period, MM/YYYY",
        label="Before the log, to",
        source=_D,
        optional=True,
    ),
)
VOLUME = (
    Field(name="requests", form=Form.COUNT, meaning="requests decided on, /robots.txt included"),
    Field(name="forwarded", form=Form.COUNT, meaning="of these, forwarded"),
    Field(name="denied", form=Form.COUNT, meaning="of these, denied"),
    Field(name="sites", form=Form.COUNT, meaning="registrable domains asked", asked_by="JP P1"),
    Field(name="hosts", form=Form.COUNT, meaning="hosts asked"),
    Field(name="content_responses", form=Form.COUNT, meaning=CONTENT, label="Answers with content"),
    Field(
        name="content_bytes",
        form=Form.COUNT,
        meaning="octets of their bodies as received, before content decoding",
        label="Octets of content",
    ),
    Field(
        name="bytes",
        form=Form.COUNT,
        meaning="octets of all response bodies received, errors and robots.txt included, before content decoding",
        label="Octets received in all",
    ),
    Field(
        name="without_completion",
        form=Form.COUNT,
        meaning="forwarded requests whose end is not on record",
        label="Forwarded requests without an end on record",
    ),
)
ROBOTS = (
    Field(name="modes", form=Form.TEXTS, meaning="`audit`: recorded; `enforce`: also denied", label="Mode"),
    Field(name="disallowed", form=Form.COUNT, meaning="requests the site disallows", asked_by="CoP 1.3"),
    Field(name="violations", form=Form.COUNT, meaning="of these, forwarded nevertheless", asked_by="CoP 1.3"),
    Field(name="robots_basis", form=Form.TALLY, meaning="why verdicts were so", label="Basis of verdicts"),
    Field(
        name="robots",
        form=Form.RECORD,
        meaning="how requests were judged",
        asked_by="CoP 1.3, EU 2.3 d, JP P1",
        label="robots.txt",
        fields=(
            Field(name="evaluated", form=Form.COUNT, meaning="requests judged, those for /robots.txt itself left out"),
            Field(
                name="not_evaluated", form=Form.COUNT, meaning="requests that could not be judged; taken for refused"
            ),
            _ratio("evaluated_ratio", "share of the judged in both", "Share judged"),
            Field(
                name="age_max_ms",
                form=Form.COUNT,
                meaning="age of the oldest copy a verdict rests on, in milliseconds",
                label="Oldest copy used, ms",
                public=Show.AS_IS,
            ),
            Field(
                name="older_than_24_h",
                form=Form.COUNT,
                meaning="verdicts that rest on a copy older than 24 h (RFC 9309 2.4)",
                label="Verdicts by copies older than 24 h",
            ),
            Field(name="divergent", form=Form.COUNT, meaning="verdicts of which Protego says otherwise"),
        ),
    ),
)
OTHER = (
    *_of_card("other_protocols"),
    Field(
        name="signals",
        form=Form.TALLY,
        meaning="sites at which a usage preference was found, by protocol, in robots.txt or in an answer; whatever it"
        " says",
        asked_by="CoP 1.3, EU 2.3 d",
        label="Usage preferences found, sites by protocol",
        public=Show.BAND,
    ),
    *_of_card("captcha_policy", "password_policy", "paywall_policy"),
    Field(name="barriers", form=Form.COUNT, meaning="answers that show an access barrier; a lower bound"),
    Field(
        name="barriers_by_kind",
        form=Form.TALLY,
        meaning="these by kind",
        asked_by="CoP 1.2, EU 2.3 d",
        label="Barriers by kind",
        public=Show.BAND,
    ),
)
LOAD = (
    *_of_card("rate_control", "rate_expectation"),
    Field(
        name="load",
        form=Form.RECORD,
        meaning="the load that was sent, not its effect on sites",
        asked_by="JP P1",
        fields=(
            Field(
                name="requests_per_second_max",
                form=Form.COUNT,
                meaning="most requests forwarded to one host within one second of the clock, robots.txt left out",
                label="Most requests to a host in a second",
            ),
            Field(
                name="interval_p05_ms",
                form=Form.COUNT,
                meaning="interval to the previous request to the same authority that 5 % kept at most, milliseconds",
                label="Interval, 5th percentile, ms",
                public=Show.AS_IS,
            ),
            Field(
                name="interval_median_ms",
                form=Form.COUNT,
                meaning="its median",
                label="Interval, median, ms",
                public=Show.AS_IS,
            ),
            Field(
                name="interval_p95_ms",
                form=Form.COUNT,
                meaning="its 95th percentile",
                label="Interval, 95th percentile, ms",
                public=Show.AS_IS,
            ),
            Field(name="answers_429", form=Form.COUNT, meaning="answers with 429", label="Too many requests (429)"),
            Field(name="answers_503", form=Form.COUNT, meaning="answers with 503", label="Unavailable (503)"),
            _ratio("pace_kept_ratio", "share of intervals not shorter than asked, where known", "Pace kept, share"),
        ),
    ),
    pace.FIELD,
)
ANSWERS = (
    Field(name="outcomes", form=Form.TALLY, meaning="how forwarded requests ended", label="Ends of requests"),
    Field(name="statuses", form=Form.TALLY, meaning="answers by class of their HTTP status", label="Answers by status"),
)
DESCRIBED = (
    Field(
        name="content_and_sources",
        form=Form.LOCALISED,
        meaning="type of content and of sources",
        asked_by="EU 2.3 f",
        source=_D,
        label="Content and sources",
    ),
    Field(name="site_types", form=Form.LOCALISED, meaning="kinds of sites", asked_by="EU 2.3 f", source=_D),
    Field(name="languages", form=Form.TEXTS, meaning="languages", asked_by="EU 2.3 f", source=_D),
    Field(name="regions", form=Form.TEXTS, meaning="regions", asked_by="EU 2.3 f", source=_D),
)
CONTENTS = (
    Field(
        name="modalities",
        form=Form.TALLY,
        meaning="answers with content, by kind after Content-Type; unknown: none was sent",
        asked_by="EU 2.3 g",
        label="Content by kind, answers",
        words=MODALITIES,
    ),
    Field(
        name="modality_bytes",
        form=Form.TALLY,
        meaning="octets of these answers, by the same kinds",
        asked_by="EU 1.3",
        label="Content by kind, octets",
        words=MODALITIES,
    ),
)
TOP_SITES = Field(
    name="top_sites",
    form=Form.RECORDS,
    key="site",
    meaning=f"sites that gave the most content, at most {SITES_MAX}",
    label="Sites with the most content",
    public=Show.WITHHELD,
    reason="trade_secret",
    note=_NAMES,
    fields=(
        Field(name="site", form=Form.TEXT, meaning="registrable domain, or the address"),
        Field(name="content_responses", form=Form.COUNT, meaning=CONTENT, label="Answers with content"),
        Field(name="content_bytes", form=Form.COUNT, meaning="octets of their bodies", label="Octets of content"),
    ),
)
BY_DAY = Field(
    name="by_day",
    form=Form.RECORDS,
    key="day",
    meaning="requests by day (UTC), verdict and what was done",
    label="Requests by day",
    public=Show.WITHHELD,
    reason="trade_secret",
    note=_VOLUMES,
    fields=(
        Field(name="day", form=Form.TEXT, meaning="YYYY-MM-DD, UTC"),
        Field(name="allowed", form=Form.COUNT, meaning="allowed and forwarded", label="Allowed"),
        Field(name="denied", form=Form.COUNT, meaning="disallowed and denied", label="Denied"),
        Field(name="violations", form=Form.COUNT, meaning="disallowed and forwarded nevertheless"),
        Field(name="allowed_and_denied", form=Form.COUNT, meaning="allowed, and denied nevertheless"),
    ),
)
AGENTS = Field(
    name="observed_user_agents",
    form=Form.RECORDS,
    key="user_agent",
    meaning=f"User-Agents sent, the most sent first, at most {AGENTS_MAX}",
    label="User-Agents seen",
    fields=(
        Field(name="user_agent", form=Form.TEXT, meaning="as sent; null: none, or erased", none=True),
        Field(name="requests", form=Form.COUNT, meaning="requests that sent it"),
    ),
    public=Show.WITHHELD,
    reason="security",
    note="the expected User-Agent is given; those seen go to regulators",
)
EXCLUSION_LISTS = _CARD["exclusion_lists"]
CRAWLER: tuple[Field, ...] = (
    *WHO,
    *AGENT,
    *PERIOD,
    *VOLUME,
    *ROBOTS,
    *OTHER,
    EXCLUSION_LISTS,
    *LOAD,
    *ANSWERS,
    *DESCRIBED,
    *CONTENTS,
    exemptions.FIELD,
    BY_DAY,
    TOP_SITES,
    AGENTS,
    pace.BY_AUTHORITY,
)
RECORD = RecordType(
    name="crawler_activity",
    version="1.0",
    meaning="what each crawler did in a period",
    fields=(
        Field(
            name="training_use_statement",
            form=Form.TEXT,
            meaning="what the record does not know",
            source=Source.TOOL,
            label="Training use",
            words=(STATEMENT,),
        ),
        Field(name="crawlers", form=Form.RECORDS, key="crawler", meaning="one object per crawler", fields=CRAWLER),
    ),
)
