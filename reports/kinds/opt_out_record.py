"""What an account of opt-outs holds, field by field."""

from __future__ import annotations

from reports import exemptions
from reports.fields import Field, Form, RecordType, Show
from reports.opt_out_policy import POLICIES
from reports.reservations import Use

_SITES = "names of sites; how many there are is given, which goes to regulators"
_USES = tuple(use.value for use in Use)
SINCE = (
    Field(name="first_seen", form=Form.INSTANT, meaning="first found on record, also before the period"),
    Field(name="last_seen", form=Form.INSTANT, meaning="last found on record; later it may have been withdrawn"),
    Field(
        name="forwarded_before",
        form=Form.COUNT,
        meaning="requests of the period to the same schemes, hosts and ports forwarded before it was first found",
        label="Forwarded before",
    ),
    Field(
        name="forwarded_after",
        form=Form.COUNT,
        meaning="requests to these that were forwarded since, /robots.txt not counted",
        label="Forwarded since",
        asked_by="CoP 1.3, EU 3.1, JP P1",
    ),
    Field(
        name="denied_after", form=Form.COUNT, meaning="requests to these that were denied since", label="Denied since"
    ),
    Field(
        name="exempt_after",
        form=Form.COUNT,
        meaning="of the forwarded since, those in the scope of a declared exemption",
        label="Of the forwarded, exempt",
    ),
)
AUTHORITIES = (
    Field(name="with_robots", form=Form.COUNT, meaning="robots.txt was served", label="robots.txt served"),
    Field(
        name="unavailable",
        form=Form.COUNT,
        meaning="4xx, or too many redirects: allowed (RFC 9309 2.3.1.3)",
        label="No robots.txt (4xx)",
    ),
    Field(
        name="unreachable_status",
        form=Form.COUNT,
        meaning="5xx, or 429 by default: disallowed (RFC 9309 2.3.1.4)",
        label="Unreachable (5xx)",
    ),
    Field(
        name="unreachable_network",
        form=Form.COUNT,
        meaning="no whole answer: disallowed (RFC 9309 2.3.1.4)",
        label="Unreachable (no whole answer)",
    ),
    Field(
        name="never_fetched",
        form=Form.COUNT,
        meaning="not fetched in the period: an older copy still held, or no request came to a decision by it",
        label="Not fetched in the period",
    ),
)
PROTOCOL = (
    Field(name="protocol", form=Form.TEXT, meaning="protocol of the signal; `robots.txt`: a rule for every path"),
    Field(name="sites_seen", form=Form.COUNT, meaning="sites at which it was found, whatever it said", label="Sites"),
    Field(name="authorities_seen", form=Form.COUNT, meaning="schemes, hosts and ports there", label="Authorities"),
    Field(name="sites_in_robots", form=Form.COUNT, meaning="sites with it in robots.txt or tdmrep.json"),
    Field(name="sites_in_answers", form=Form.COUNT, meaning="sites with it in an answer or a page"),
    Field(name="seen_from", form=Form.INSTANT, meaning="first found on record", label="First found"),
    Field(name="seen_to", form=Form.INSTANT, meaning="last found on record", label="Last found"),
    Field(
        name="forwarded_against_it",
        form=Form.COUNT,
        meaning="requests that the policy refused by it, forwarded (audit mode)",
    ),
    Field(name="denied_by_it", form=Form.COUNT, meaning="requests that the policy refused by it, denied"),
)
REFUSED = (
    Field(name="protocol", form=Form.TEXT, meaning="protocol of the signal; `robots.txt`: a rule for every path"),
    Field(name="use", form=Form.TEXT, meaning="use that is refused; `any`: whatever the purpose", words=_USES),
    Field(name="sites", form=Form.COUNT, meaning="sites that refuse it"),
    Field(name="authorities", form=Form.COUNT, meaning="schemes, hosts and ports that do"),
    Field(
        name="policy",
        form=Form.TEXTS,
        meaning="what the settings of the runs do about it; several where they differ",
        words=POLICIES,
    ),
    *SINCE,
)
OPT_OUT = (
    Field(name="site", form=Form.TEXT, meaning="registrable domain, or the address"),
    *(field for field in REFUSED if field.name in ("protocol", "use", "authorities")),
    *SINCE,
)
BARRIER = (
    Field(name="barrier", form=Form.TEXT, meaning="kind of barrier"),
    Field(name="answers", form=Form.COUNT, meaning="answers that show it; a lower bound"),
    Field(name="sites", form=Form.COUNT, meaning="sites that gave them"),
    Field(
        name="later_2xx_urls",
        form=Form.COUNT,
        meaning="URLs with it that later gave content: for review, no proof that a barrier was got around",
        label="URLs answered 2xx later",
        public=Show.WITHHELD,
        reason="trade_secret",
        note="a pointer for review; given to regulators",
    ),
    Field(
        name="later_2xx",
        form=Form.COUNT,
        meaning="such later answers",
        label="Such answers",
        public=Show.WITHHELD,
        reason="trade_secret",
        note="a pointer for review; given to regulators",
    ),
)
DAY = (
    Field(name="day", form=Form.TEXT, meaning="day (UTC)"),
    Field(name="allowed", form=Form.COUNT, meaning="requests the site does not disallow"),
    Field(name="denied", form=Form.COUNT, meaning="requests the site disallows, denied"),
    Field(name="forwarded", form=Form.COUNT, meaning="requests the site disallows, forwarded"),
)
_COUNTS = (
    Field(name="requests", form=Form.COUNT, meaning="requests decided on, /robots.txt included"),
    Field(name="evaluated", form=Form.COUNT, meaning="of these, judged by what the site says"),
    Field(
        name="not_evaluated",
        form=Form.TALLY,
        meaning="the others, by why: `robots_txt` is the file itself, `error` no verdict could be reached",
        label="Not judged, and why",
        public=Show.BAND,
    ),
    Field(name="disallowed", form=Form.COUNT, meaning="requests disallowed, those without a verdict among them"),
    Field(name="disallowed_blocked", form=Form.COUNT, meaning="of these, denied", label="Disallowed and denied"),
    Field(
        name="disallowed_forwarded",
        form=Form.COUNT,
        meaning="of these, forwarded: the violations",
        label="Disallowed and forwarded",
    ),
    Field(name="bases", form=Form.TALLY, meaning="why verdicts were so", label="Basis of verdicts"),
    Field(
        name="modes", form=Form.TALLY, meaning="starts of sidecars by mode", label="Starts by mode", public=Show.BAND
    ),
)
_ROBOTS = (
    Field(
        name="unreachable_treated_as_disallow",
        form=Form.FLAG,
        meaning="whether every request judged while robots.txt was unreachable was disallowed; null: there was none",
        label="Unreachable means disallowed",
        asked_by="RFC 9309 2.3.1.4",
    ),
    Field(name="unreachable_requests", form=Form.COUNT, meaning="such requests"),
    Field(
        name="treat_429_as_unreachable",
        form=Form.TEXTS,
        meaning="setting of the runs: whether 429 counts as unreachable, which is stricter than RFC 9309",
        label="429 counts as unreachable",
        words=("yes", "no"),
    ),
    Field(
        name="last_good_copy_s",
        form=Form.TEXTS,
        meaning="setting of the runs, in seconds: oldest copy that stays in force while robots.txt is unreachable",
        label="Last good copy stays in force (s)",
    ),
    Field(
        name="decided_after_validity",
        form=Form.COUNT,
        meaning="requests decided on a copy past its term: the last good one, or in the moment it ran out",
        label="Decided on a copy past its term",
    ),
    Field(
        name="robots_cache_over_24h",
        form=Form.COUNT,
        meaning="requests decided on a copy older than 24 hours (RFC 9309 2.4 allows it while the file is unreachable)",
        label="Decided on a copy older than 24 h",
        asked_by="RFC 9309 2.4",
    ),
    Field(
        name="parser_disagreements",
        form=Form.COUNT,
        meaning="requests of which Protego alone says otherwise than our reading",
        label="Parsers disagree",
        public=Show.WITHHELD,
        regulator=Show.AS_IS,
        reason="security",
        note="given to regulators",
    ),
    Field(
        name="disagreements_resolved",
        form=Form.TALLY,
        meaning="what was decided there: `disallowed_here` where Protego alone would allow, `allowed_here` the reverse",
        public=Show.WITHHELD,
        regulator=Show.AS_IS,
        reason="security",
        note="given to regulators",
    ),
)
RECORD = RecordType(
    name="optout_compliance",
    version="1.0",
    meaning="which sites refuse which use, and what was requested of them since",
    fields=(
        *_COUNTS,
        Field(
            name="authorities",
            form=Form.RECORD,
            meaning="schemes, hosts and ports asked, by the last answer to a fetch of robots.txt in the period",
            label="Authorities",
            asked_by="RFC 9309",
            fields=AUTHORITIES,
        ),
        *_ROBOTS,
        Field(
            name="signals_matrix",
            form=Form.RECORDS,
            key="protocol",
            meaning="protocols of usage preferences, and where they were found",
            label="Usage preferences found",
            asked_by="CoP 1.3(1)(b), EU 3.1",
            fields=PROTOCOL,
        ),
        Field(
            name="refused_uses",
            form=Form.RECORDS,
            key="protocol",
            meaning="uses refused, by protocol",
            label="Uses refused",
            asked_by="CoP 1.3(1)(b), EU 3.1",
            fields=REFUSED,
        ),
        Field(
            name="barriers",
            form=Form.RECORDS,
            key="barrier",
            meaning="access barriers in answers",
            label="Access barriers",
            asked_by="CoP 1.2",
            fields=BARRIER,
        ),
        exemptions.FIELD,
        Field(
            name="by_day",
            form=Form.RECORDS,
            key="day",
            meaning="days with requests",
            fields=DAY,
            public=Show.WITHHELD,
            reason="trade_secret",
            note="volumes by day; given to regulators",
        ),
        Field(name="opt_outs_total", form=Form.COUNT, meaning="rows of `opt_outs` there are", label="Opt-outs"),
        Field(name="opt_outs_not_listed", form=Form.COUNT, meaning="of these, beyond --limit", label="Not listed"),
        Field(
            name="opt_outs",
            form=Form.RECORDS,
            key="site",
            meaning="one object per site, protocol and use refused; most forwarded since first",
            label="Opt-outs by site",
            asked_by="CoP 1.3, EU 3.1",
            fields=OPT_OUT,
            public=Show.WITHHELD,
            reason="trade_secret",
            note=_SITES,
        ),
    ),
)
