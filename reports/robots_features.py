"""What is done about robots.txt and other opt-outs, read from recorded settings in the words a site owner needs.

CoP 1.3(4) asks for "their robots.txt features and other measures". Settings are what ran; where runs of the period
differ, that is said and nothing is averaged. Where a log does not hold a setting (None), nothing is said about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from crawl_audit.exemptions import Reason
from crawl_audit.records import Mode
from crawl_audit.signal_policy import Purpose, SignalPolicy
from reports.fields import Field, Form, Show, Source
from reports.log import Row
from reports.recorded_settings import listed, settings_object

CACHE_MAX_S = 86_400
"""A copy of robots.txt holds at most 24 h, whatever the site's Cache-Control says (RFC 9309 2.4)."""

DIFFERS = "differs between runs"
DENIED, FORWARDED = "denied", "recorded and forwarded"
DISALLOW, LAST_COPY = "taken for a disallow", "last copy for a time, then a disallow"
AS_UNREACHABLE, AS_UNAVAILABLE = "taken for a disallow", "taken for no robots.txt (RFC 9309 2.3.1.3)"
PACE_KEPT, PACE_RECORDED = "requests are held or refused until the pace is kept", "recorded only"
HONOURED, COUNTED, RECORDED = "requests denied", "counted as disallowed, not denied", "recorded only"

_DECLARED_USES = {"training": (Purpose.TRAINING,), "search": (Purpose.SEARCH,), "user_fetch": (Purpose.USER,)}
_ALWAYS = ("User-agent", "Allow", "Disallow")
_IN_ROBOTS = {"content-signal": "Content-Signal", "content-usage": "Content-Usage"}
# Protocol → where it is found whatever the settings are; docs/signals.md has the table.
_FOUND_IN: dict[str, tuple[str, ...]] = {
    "content-signal": ("robots.txt", "HTTP response"),
    "content-usage": ("robots.txt", "HTTP response"),
    "tdmrep": ("HTTP response",),
    "x-robots-tag": ("HTTP response",),
    "rsl": ("robots.txt", "HTTP response"),
    "license": ("HTTP response",),
    "pay-per-crawl": ("HTTP response",),
}
_IN_HTML = ("tdmrep", "x-robots-tag", "rsl")
_SECONDS_MAX = 366 * CACHE_MAX_S
_TDMREP_FILE = "/.well-known/tdmrep.json"

ROBOTS = Field(
    name="robots",
    form=Form.RECORD,
    meaning="what is done about robots.txt, by the settings in force in the period",
    asked_by="CoP 1.3, EU 2.3 d",
    label="robots.txt",
    fields=(
        Field(name="standard", form=Form.TEXT, meaning="what robots.txt is read by", source=Source.TOOL),
        Field(name="modes", form=Form.TEXTS, meaning="`audit`: recorded; `enforce`: also denied", label="Mode"),
        Field(
            name="disallowed",
            form=Form.TEXT,
            meaning="what happens to a request that the site disallows",
            label="Requests that a site disallows",
            words=(DENIED, FORWARDED, DIFFERS),
        ),
        Field(name="lines", form=Form.TEXTS, meaning="lines of robots.txt that decide", label="Lines that decide"),
        Field(
            name="unreachable",
            form=Form.TEXT,
            meaning="robots.txt that answers 5xx or not at all (RFC 9309 2.3.1.4)",
            label="robots.txt out of reach",
            words=(DISALLOW, LAST_COPY, DIFFERS),
        ),
        Field(
            name="status_429",
            form=Form.TEXT,
            meaning="robots.txt that answers 429",
            label="robots.txt answered with 429",
            words=(AS_UNREACHABLE, AS_UNAVAILABLE, DIFFERS),
        ),
        Field(
            name="cache_default_s",
            form=Form.COUNT,
            meaning="seconds a copy holds without Cache-Control, the longest of all runs",
            label="Seconds a copy of robots.txt holds",
            public=Show.AS_IS,
        ),
        Field(
            name="cache_max_s",
            form=Form.COUNT,
            meaning="seconds a copy holds at most (RFC 9309 2.4)",
            label="Seconds a copy of robots.txt holds at most",
            source=Source.TOOL,
            public=Show.AS_IS,
        ),
        Field(
            name="pace",
            form=Form.TEXT,
            meaning="what is done about Crawl-delay and Request-rate",
            label="Crawl-delay and Request-rate",
            words=(PACE_KEPT, PACE_RECORDED, DIFFERS),
        ),
        Field(
            name="exemptions",
            form=Form.TEXTS,
            meaning="grounds on which requests are made that a site disallows",
            words=tuple(reason.value for reason in Reason),
            label="Declared exemptions",
        ),
    ),
)
PROTOCOLS_FIELD = Field(
    name="protocols",
    form=Form.RECORDS,
    key="protocol",
    meaning="other machine-readable reservations that are recognised, and what is done about them",
    asked_by="CoP 1.3, EU 3.1",
    label="Other opt-outs recognised",
    fields=(
        Field(name="protocol", form=Form.TEXT, meaning="as in the view `signal`"),
        Field(name="found_in", form=Form.TEXTS, meaning="where it is looked for"),
        Field(name="done", form=Form.TEXT, meaning="what follows", words=(HONOURED, COUNTED, RECORDED, DIFFERS)),
        Field(name="uses", form=Form.TEXTS, meaning="the uses whose refusal does"),
    ),
)

Run = tuple[Mode | str, dict[str, Any]]


def runs_of(rows: Iterable[Row]) -> list[Run]:
    """Mode and settings of the rows of the query `card_runs`."""
    return [(row["mode"], settings_object(row["settings"])) for row in rows]


def runs_with(runs: Sequence[Run], crawler: str, *, seen: bool) -> list[Run]:
    """The runs that a crawler went through: those whose settings name it; all of them where none does and it is seen.

    A crawler that is only declared may go another way: nothing is said of it then.
    """
    named = [run for run in runs if any(one.get("id") == crawler for one in listed(run[1], "crawlers"))]
    return named or (list(runs) if seen else [])


def robots(runs: Sequence[Run], crawler: str) -> dict[str, Any] | None:
    """The features of :data:`ROBOTS` for a crawler; None where no run of the period is on record."""
    if not runs:
        return None
    modes = sorted({str(mode) for mode, _ in runs})
    pace = _same(_each(runs, "pacing", "enforce", _is_flag, lambda held: PACE_KEPT if held else PACE_RECORDED))
    denying = [name for name in _IN_ROBOTS if all(_refused(run, crawler, name) for run in runs)]
    lines = [*_ALWAYS, *(("Crawl-delay", "Request-rate") if pace == PACE_KEPT else ())]
    defaults = _each(runs, "robots", "ttl_s", _is_seconds, int)
    return {
        "standard": "RFC 9309",
        "modes": modes,
        "disallowed": _same([DENIED if mode == Mode.ENFORCE else FORWARDED for mode in modes]),
        "lines": [*lines, *(_IN_ROBOTS[name] for name in denying)],
        "unreachable": _same(
            _each(runs, "robots", "last_good_copy_s", _is_seconds, lambda s: LAST_COPY if s > 0 else DISALLOW)
        ),
        "status_429": _same(
            _each(
                runs, "robots", "treat_429_as_unreachable", _is_flag, lambda y: AS_UNREACHABLE if y else AS_UNAVAILABLE
            )
        ),
        "cache_default_s": None if None in defaults else max(defaults),
        "cache_max_s": CACHE_MAX_S,
        "pace": pace,
        "exemptions": _exemptions(runs, crawler),
    }


def protocols(runs: Sequence[Run], crawler: str) -> list[dict[str, Any]]:
    """What is done about each protocol for a crawler; nothing where no run of the period is on record."""
    return [_protocol(runs, crawler, name) for name in _FOUND_IN] if runs else []


def _protocol(runs: Sequence[Run], crawler: str, name: str) -> dict[str, Any]:
    html = all(_section(settings, "signals").get("html_meta") is True for _, settings in runs)
    refused = [_refused(run, crawler, name) for run in runs]
    file = name == "tdmrep" and all(
        uses or _section(run[1], "signals").get("tdmrep") is True for run, uses in zip(runs, refused, strict=True)
    )
    done = [_done(run, uses) for run, uses in zip(runs, refused, strict=True)]
    return {
        "protocol": name,
        "found_in": [
            *((_TDMREP_FILE,) if file else ()),
            *_FOUND_IN[name],
            *(("HTML",) if html and name in _IN_HTML else ()),
        ],
        "done": _same(done),
        "uses": sorted({use for uses in refused for use in uses}),
    }


def _done(run: Run, uses: list[str]) -> str | None:
    """What a refusal by a protocol comes to in one run; None where the log does not hold the policy."""
    mode, settings = run
    if not isinstance(settings.get("signals"), dict):
        return None
    if not uses:
        return RECORDED
    return HONOURED if mode == Mode.ENFORCE else COUNTED


def _refused(run: Run, crawler: str, protocol: str) -> list[str]:
    """The uses of this crawler that a refusal by the protocol denies; as `crawl_audit.signal_policy` decides."""
    words = _section(run[1], "signals").get("policy")
    purpose = next((one.get("purpose") for one in listed(run[1], "crawlers") if one.get("id") == crawler), None)
    applicable = _DECLARED_USES.get(purpose if isinstance(purpose, str) else "", tuple(Purpose))
    try:
        denied = SignalPolicy(words if isinstance(words, dict) else None).denied(protocol)
    except (AttributeError, TypeError, ValueError):
        return []
    return [str(use) for use in applicable if use in denied]


def _exemptions(runs: Sequence[Run], crawler: str) -> list[str] | None:
    """Reasons of the exemptions that cover the crawler; None where a run does not hold whether there are any."""
    found = set()
    for _, settings in runs:
        if not isinstance(settings.get("exemptions"), list):
            return None
        for one in listed(settings, "exemptions"):
            crawlers, reason = one.get("crawlers"), one.get("reason")
            if isinstance(reason, str) and (not isinstance(crawlers, list) or not crawlers or crawler in crawlers):
                found.add(reason)
    return sorted(found & set(Reason))


def _section(settings: dict[str, Any], name: str) -> dict[str, Any]:
    found = settings.get(name)
    return found if isinstance(found, dict) else {}


def _each(
    runs: Sequence[Run], section: str, key: str, known: Callable[[Any], bool], said: Callable[[Any], Any]
) -> list[Any]:
    """What a setting comes to in each run; None where the log does not hold it, or not as the sidecar writes it."""
    values = [_section(settings, section).get(key) for _, settings in runs]
    return [said(value) if known(value) else None for value in values]


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _SECONDS_MAX


def _about_429(unreachable: bool) -> str:
    return AS_UNREACHABLE if unreachable else AS_UNAVAILABLE


def _same(values: Sequence[Any]) -> Any:
    """The one value all runs have; None where it is not known of all."""
    if None in values:
        return None
    return values[0] if len(set(values)) == 1 else DIFFERS
