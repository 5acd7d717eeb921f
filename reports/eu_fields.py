"""What the EU record holds, field by field: section 2.3 of the template for the public summary, a to i, and inputs.

The labels of a to i are the template's own words and are never translated (C(2025) 8311 as quoted in filings).
"""

from __future__ import annotations

from reports import robots_features
from reports.card_fields import IDENTITY, LISTS, PURPOSE_CODES
from reports.crawler_fields import CONFIGURED, CONTENT, DESCRIBED, MODALITIES
from reports.fields import Field, Form, RecordType, Show, Source

YES, NO, NOT_KNOWN = "Yes", "No", "Not known"
TEN_PERCENT, SME_RULE = "top_10_percent", "sme_top_5_percent_or_1000"
CANDIDATE, ATTESTED = "candidate list, upper bound", "attested by the operator"
OTHER_PURPOSE, NO_PURPOSE = "its purpose is not training", "its purpose is not supplied"
NOT_SENT, NOT_SEEN = "no request of it was forwarded in the period", "declared, but not in the log of the period"
TEMPLATE_MODALITIES = ("Text", "Image", "Video", "Audio", "Other")
RANK_BASIS = "octets of content received, before content decoding, of the crawlers listed"

_D = Source.DECLARED
_IDENTITY = {field.name: field for field in IDENTITY}


def _policy(what: str) -> Field:
    return Field(name="policy", form=Form.LOCALISED, meaning=f"what it does about {what}", source=_D)


def _answers(meaning: str) -> Field:
    return Field(name="answers", form=Form.COUNT, meaning=f"{meaning}; a lower bound")


BEHAVIOUR = Field(
    name="behaviour",
    form=Form.RECORD,
    meaning="each of five things named by itself",
    asked_by="EU 2.3 d",
    label="General description of crawler behaviour",
    fields=(
        Field(
            name="robots_txt",
            form=Form.RECORD,
            meaning="what was done about robots.txt",
            label="robots.txt",
            fields=(
                Field(name="modes", form=Form.TEXTS, meaning="`audit`: recorded; `enforce`: also denied"),
                Field(name="requests", form=Form.COUNT, meaning="requests decided on, /robots.txt included"),
                Field(name="disallowed", form=Form.COUNT, meaning="of these, those the site disallows"),
                Field(name="blocked", form=Form.COUNT, meaning="of the disallowed, those denied"),
                Field(name="violations", form=Form.COUNT, meaning="of the disallowed, those forwarded nevertheless"),
            ),
        ),
        Field(
            name="other_protocols",
            form=Form.RECORD,
            meaning="what was done about other machine-readable reservations",
            fields=(
                _policy("them"),
                Field(
                    name="signals",
                    form=Form.TALLY,
                    meaning="sites at which a usage preference was found, by protocol; whatever it says",
                    public=Show.BAND,
                ),
            ),
        ),
        Field(
            name="captchas",
            form=Form.RECORD,
            meaning="what was done at CAPTCHAs",
            fields=(_policy("CAPTCHAs"), _answers("answers that showed a challenge")),
        ),
        Field(
            name="password_protected_websites",
            form=Form.RECORD,
            meaning="what was done at pages behind a password",
            fields=(_policy("passwords"), _answers("answers with 401 or 407")),
        ),
        Field(
            name="paywalls",
            form=Form.RECORD,
            meaning="what was done at paywalls",
            fields=(_policy("paywalls"), _answers("answers with 402")),
        ),
    ),
)
PERIOD = Field(
    name="period",
    form=Form.TEXT,
    meaning="MM/YYYY to MM/YYYY, first and last forwarded request, and any earlier period declared",
    asked_by="EU 2.3 e",
    label="Period of data collection",
)
MODALITY = Field(
    name="modalities",
    form=Form.TEXTS,
    meaning="kinds of content received, as the template names them",
    asked_by="EU 2.3 g",
    label="Type of modality covered",
)
CONTENT_FIELD = Field(
    name="content",
    form=Form.RECORD,
    meaning="what was collected, declared, and the kinds of content that the log shows",
    asked_by="EU 2.3 f",
    label="Comprehensive description of the type of content and online sources crawled",
    fields=(
        *DESCRIBED,
        Field(
            name="kinds",
            form=Form.TALLY,
            meaning=f"answers with content by kind; {CONTENT}",
            label="Answers by kind of content",
            words=MODALITIES,
        ),
        Field(name="sites", form=Form.COUNT, meaning="registrable domains asked"),
    ),
)
PURPOSE = Field(
    name="purpose",
    form=Form.LOCALISED,
    meaning="what it is for, in plain words",
    asked_by="EU 2.3 c",
    source=_D,
    label="Purposes of the crawler(s)",
)
_CRAWLER = (
    Field(name="crawler", form=Form.TEXT, meaning="configured id"),
    Field(name="name", form=Form.TEXT, meaning="declared name, else its id", asked_by="EU 2.3 b"),
    _IDENTITY["operated_by"],
    _IDENTITY["on_behalf_of"],
    Field(name="product_tokens", form=Form.TEXTS, meaning="RFC 9309 product tokens judged by"),
    Field(
        name="purpose_source",
        form=Form.TEXT,
        meaning="where it is said that it is for training",
        words=("operator file", "settings"),
    ),
    _IDENTITY["purpose_code"],
    CONFIGURED,
    PURPOSE,
    BEHAVIOUR,
    PERIOD,
    Field(name="period_from", form=Form.TEXT, meaning="its begin, MM/YYYY"),
    Field(name="period_to", form=Form.TEXT, meaning="its end, MM/YYYY"),
    Field(name="period_in_log", form=Form.TEXT, meaning="the part of it that the log shows; null: none", none=True),
    CONTENT_FIELD,
    MODALITY,
    robots_features.ROBOTS,
    *LISTS,
)
EXCLUDED = Field(
    name="excluded",
    form=Form.RECORDS,
    key="crawler",
    meaning="crawlers that this summary is not about, and why",
    label="Crawlers left out",
    fields=(
        Field(name="crawler", form=Form.TEXT, meaning="configured id"),
        Field(name="purpose_code", form=Form.TEXT, meaning="declared purpose", words=PURPOSE_CODES, none=True),
        Field(
            name="why",
            form=Form.TEXT,
            meaning="reason",
            words=(OTHER_PURPOSE, NO_PURPOSE, NOT_SENT, NOT_SEEN),
        ),
    ),
)
DOMAINS = Field(
    name="domains",
    form=Form.RECORDS,
    key="domain",
    meaning="the domain names with the most content, in order",
    asked_by="EU 2.3 h",
    label="Summary of the most relevant domain names crawled",
    fields=(
        Field(name="rank", form=Form.COUNT, meaning="place by octets of content; ties by name", public=Show.AS_IS),
        Field(name="domain", form=Form.TEXT, meaning="registrable domain (Public Suffix List, ICANN part)"),
        *(
            Field(
                name=name,
                form=Form.COUNT,
                meaning=meaning,
                label=label,
                public=Show.WITHHELD,
                reason="trade_secret",
                note="sizes; given to regulators",
            )
            for name, meaning, label in (
                ("content_responses", CONTENT, "Answers with content"),
                ("content_bytes", "octets of their bodies as received", "Octets of content"),
            )
        ),
    ),
)
SELECTION = Field(
    name="selection",
    form=Form.RECORD,
    meaning="how the domain names were chosen",
    asked_by="EU 2.3 h",
    label="Choice of domain names",
    fields=(
        Field(
            name="rule",
            form=Form.TEXT,
            meaning="the tenth, rounded up; small and medium-sized: the twentieth, rounded up, at most 1,000",
            words=(TEN_PERCENT, SME_RULE),
        ),
        Field(name="sme", form=Form.FLAG, meaning="small or medium-sized, says the operator", source=_D, label="SME"),
        Field(name="rank_basis", form=Form.TEXT, meaning="what they are ranked by", words=(RANK_BASIS,)),
        Field(name="total", form=Form.COUNT, meaning="domain names that gave content", public=Show.AS_IS),
        Field(name="listed", form=Form.COUNT, meaning="of these, listed", public=Show.AS_IS),
        Field(
            name="addresses",
            form=Form.COUNT,
            meaning="IP addresses that gave content; they have no domain name and are not counted",
            label="IP addresses left out",
            public=Show.AS_IS,
        ),
        Field(
            name="attested_excluded",
            form=Form.COUNT,
            meaning="domain names left out because the operator attests that their content was not used",
            label="Left out by attestation",
            public=Show.AS_IS,
        ),
        Field(
            name="status",
            form=Form.TEXT,
            meaning="whether the operator attests the use of what every listed domain gave",
            words=(CANDIDATE, ATTESTED),
        ),
    ),
)
LEFT_OUT = tuple(field for field in SELECTION.fields if field.name in ("sme", "addresses", "attested_excluded"))
ABOUT = tuple(
    Field(name=name, form=form, meaning=meaning, source=_D)
    for name, form, meaning in (
        ("template_version", Form.TEXT, "version of the template"),
        ("summary_version", Form.TEXT, "version of the summary"),
        ("last_update", Form.TEXT, "day of its last update"),
        ("update_due", Form.TEXT, "day of its next update"),
        ("models", Form.TEXTS, "models it is for"),
    )
)
RESERVATIONS = Field(
    name="section_3_1",
    form=Form.RECORD,
    meaning="inputs to section 3.1",
    asked_by="EU 3.1",
    label="Section 3.1",
    fields=(
        Field(
            name="cop_signatory",
            form=Form.FLAG,
            meaning="whether it signed the Code of Practice",
            source=_D,
            label="Signatory of the GPAI Code of Practice",
        ),
        Field(
            name="copyright_policy_uri",
            form=Form.TEXT,
            meaning="where its copyright policy is",
            source=_D,
            optional=True,
            label="Copyright policy",
        ),
        Field(
            name="reservation_measures",
            form=Form.LOCALISED,
            meaning="measures before and during collection, in its words",
            source=_D,
            label="Measures to respect reservations of rights",
        ),
    ),
)
SIZES = Field(
    name="section_1_3",
    form=Form.RECORD,
    meaning="inputs to section 1.3",
    asked_by="EU 1.3",
    label="Section 1.3",
    fields=(
        Field(
            name="latest_acquisition",
            form=Form.INSTANT,
            meaning="last request of the crawlers listed that gave content",
            label="Latest date of data acquisition",
        ),
        Field(
            name="modality_bytes",
            form=Form.TALLY,
            meaning="octets of content received, by kind; not the size after pre-processing that the template asks for",
            label="Octets received by kind",
            public=Show.BAND,
            words=MODALITIES,
        ),
    ),
)
USED = Field(
    name="crawlers_used",
    form=Form.TEXT,
    meaning="whether a crawler for training was at work",
    asked_by="EU 2.3 a",
    label="Were crawlers used by the provider or on behalf of?",
    words=(YES, NO, NOT_KNOWN),
)
NAMES = Field(
    name="crawler_names",
    form=Form.TEXTS,
    meaning="names, and nothing else",
    asked_by="EU 2.3 b",
    label="If yes, specify crawler name(s)/identifier(s)",
)
COMMENTS = Field(
    name="comments",
    form=Form.LOCALISED,
    meaning="what the operator adds",
    asked_by="EU 2.3 i",
    source=_D,
    optional=True,
    label="Additional comments (optional)",
)
TOP_LEVEL = Field(
    name="top_level_domains",
    form=Form.TALLY,
    meaning="domain names that gave content, by top-level domain, the ten most frequent: a weak hint at regions",
    asked_by="EU 2.3 f",
    label="Domains by top-level domain",
)
RECORD = RecordType(
    name="eu_template_2_3",
    version="1.0",
    meaning="section 2.3 of the public summary of training content, with inputs to sections 1.3 and 3.1",
    fields=(
        *ABOUT,
        USED,
        NAMES,
        Field(name="crawlers", form=Form.RECORDS, key="crawler", meaning="crawlers for training", fields=_CRAWLER),
        EXCLUDED,
        DOMAINS,
        SELECTION,
        TOP_LEVEL,
        COMMENTS,
        RESERVATIONS,
        SIZES,
    ),
)
