"""What a crawler's public card holds, field by field: identity, measures, and how to keep the crawler out."""

from __future__ import annotations

from reports import robots_features
from reports.fields import Field, Form, RecordType, Source

_D = Source.DECLARED
PURPOSE_CODES = ("training", "rag_grounding", "search_index", "user_fetch", "research", "other")

_LIST = (
    Field(name="name", form=Form.TEXT, meaning="of the list", source=_D),
    Field(name="version", form=Form.TEXT, meaning="of the list", source=_D, optional=True),
    Field(name="uri", form=Form.TEXT, meaning="where it can be read", source=_D, optional=True, label="Address"),
)
IDENTITY = (
    Field(name="crawler", form=Form.TEXT, meaning="configured id", asked_by="EU 2.3 b", label="Id"),
    Field(name="client_name", form=Form.TEXT, meaning="name", asked_by="EU 2.3 b, JP P1", source=_D, label="Name"),
    Field(name="operated_by", form=Form.TEXT, meaning="who runs it", asked_by="EU 2.3 a", source=_D),
    Field(name="on_behalf_of", form=Form.TEXT, meaning="for whom", asked_by="EU 2.3 a", source=_D, optional=True),
    Field(
        name="purpose_code",
        form=Form.TEXT,
        meaning="what it is for",
        asked_by="EU 2.3 c, JP P1, CoP 1.3",
        source=_D,
        label="Purpose",
        words=PURPOSE_CODES,
    ),
    Field(
        name="purpose", form=Form.LOCALISED, meaning="in words", asked_by="EU 2.3 c", source=_D, label="What it is for"
    ),
    Field(
        name="trigger",
        form=Form.TEXT,
        meaning="`crawler`: goes by itself; `fetcher`: where a user sends it",
        source=_D,
        words=("crawler", "fetcher"),
    ),
    Field(name="targeted_content", form=Form.LOCALISED, meaning="what it looks for", asked_by="EU 2.3 f", source=_D),
    Field(name="product_tokens", form=Form.TEXTS, meaning="tokens for robots.txt", asked_by="CoP 1.3, RFC 9309 2.2.1"),
    Field(name="expected_user_agent", form=Form.TEXT, meaning="User-Agent, as configured or declared", source=_D),
    Field(name="in_log", form=Form.FLAG, meaning="requests of it are on record in the period", label="In the log"),
    Field(
        name="docs_uri", form=Form.TEXT, meaning="page that explains it", asked_by="CoP 1.3", source=_D, label="Page"
    ),
    Field(name="contacts", form=Form.TEXTS, meaning="whom to write to", asked_by="CoP 1.3, CoP 1.5", source=_D),
    Field(name="ips_uri", form=Form.TEXT, meaning="its addresses (JAFAR)", source=_D, optional=True, label="Addresses"),
    Field(name="jwks_uri", form=Form.TEXT, meaning="its keys", source=_D, optional=True, label="Keys"),
    Field(name="logo_uri", form=Form.TEXT, meaning="its logo", source=_D, optional=True, label="Logo"),
    Field(name="rate_control", form=Form.TEXT, meaning="how sites slow it down", asked_by="JP P1", source=_D),
    Field(name="rate_expectation", form=Form.TEXT, meaning="how fast it goes", source=_D, optional=True),
    Field(
        name="known_urls",
        form=Form.TEXTS,
        meaning="paths asked everywhere",
        source=_D,
        optional=True,
        label="Known URLs",
    ),
    Field(
        name="rfc9309_compliance",
        form=Form.FLAG,
        meaning="that it keeps to RFC 9309 is the operator's statement; the log cannot show it",
        source=_D,
        optional=True,
        label="Keeps to RFC 9309, says the operator",
    ),
)
POLICIES = (
    Field(
        name="captcha_policy",
        form=Form.LOCALISED,
        meaning="what it does at CAPTCHAs",
        asked_by="EU 2.3 d, CoP 1.2",
        source=_D,
        label="At CAPTCHAs",
    ),
    Field(
        name="password_policy",
        form=Form.LOCALISED,
        meaning="what it does at pages behind a password",
        asked_by="EU 2.3 d, CoP 1.2, JP P1",
        source=_D,
        label="At passwords",
    ),
    Field(
        name="paywall_policy",
        form=Form.LOCALISED,
        meaning="what it does at paywalls",
        asked_by="EU 2.3 d, CoP 1.2, JP P1",
        source=_D,
        label="At paywalls",
    ),
    Field(
        name="other_protocols",
        form=Form.LOCALISED,
        meaning="what it does about other machine-readable opt-outs, in the operator's words",
        asked_by="EU 2.3 d, EU 3.1",
        source=_D,
        label="Other opt-outs",
    ),
)
LISTS = (
    robots_features.PROTOCOLS_FIELD,
    Field(
        name="exclusion_lists",
        form=Form.RECORDS,
        key="name",
        meaning="sites never visited, by list",
        asked_by="CoP 1.2, JP P1",
        source=_D,
        fields=_LIST,
    ),
)
BLOCKING = (
    Field(name="how_to_block", form=Form.LOCALISED, meaning="how a site keeps it out", asked_by="CoP 1.3", source=_D),
    Field(
        name="robots_snippet",
        form=Form.TEXTS,
        meaning="lines for a robots.txt that keep it out",
        asked_by="CoP 1.3",
        source=Source.TOOL,
        label="Lines for robots.txt",
    ),
)
_CRAWLER = (*IDENTITY, robots_features.ROBOTS, *POLICIES, *LISTS, *BLOCKING)
RECORD = RecordType(
    name="crawler_card",
    version="1.0",
    meaning="what is made public of each crawler",
    fields=(
        Field(
            name="cards_uri",
            form=Form.TEXT,
            meaning="where the cards and their feed are served",
            asked_by="CoP 1.3",
            source=_D,
            optional=True,
            label="Cards and feed of changes",
        ),
        Field(
            name="copyright_policy_uri",
            form=Form.TEXT,
            meaning="the operator's copyright policy",
            asked_by="CoP 1.1",
            source=_D,
            optional=True,
            label="Copyright policy",
        ),
        Field(name="crawlers", form=Form.RECORDS, key="crawler", meaning="one object per crawler", fields=_CRAWLER),
    ),
)
