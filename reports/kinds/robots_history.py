"""The robots.txt of a site over time: what was served when, what changed, and what was decided by it."""

from __future__ import annotations

from typing import Any

from crawl_audit.identity import ANY_CRAWLER
from crawl_audit.records import RobotsOutcome
from crawl_audit.robots import compile_rules, evaluate
from crawl_audit.target import Scope
from reports import render
from reports.in_force import allowances
from reports.kinds.robots_history_record import DIFF_LINES_MAX, DIFFS_MAX, RECORD, VERSION
from reports.kinds.robots_history_text import body
from reports.limited import limited
from reports.log import Log, Row
from reports.matching import parameters
from reports.period import Period
from reports.recorded_settings import configured_crawlers, settings_object
from reports.report import Kind, Question
from reports.robots_versions import Version, difference, versions

# What one report works through where it is not limited to a site: snapshots read, octets judged for all crawlers.
_SNAPSHOTS_MAX = 200_000
_JUDGED_BYTES_MAX = 4_000_000
_BATCH_SNAPSHOTS = 50_000
_BODIES_BYTES_MAX = 64_000_000
_PER_VERSION = ("allowed", "disallowed", "violations")


def make(question: Question) -> dict[str, Any]:
    """The record at the internal level."""
    log, period = question.log, question.period
    tokens = _tokens(log)
    asked = parameters(log, question.subject, period)
    asked.pop("targets")
    fetched = log.rows("robots_history_authorities", **asked)
    wanted = fetched if question.subject is not None else [row for row in fetched if row["different"] > 1]
    chosen = wanted if question.subject is not None else _affordable(wanted, len(tokens))
    found = _versions(log, period, chosen, question.rows_max)
    authorities = _Told(log, period, found, tokens).authorities()
    return {
        **limited(question.subject),
        "authorities_fetched": len(fetched),
        "authorities_changed": sum(row["different"] > 1 for row in fetched),
        "fetches": sum(row["fetches"] for row in fetched),
        "changes": sum(len(one["versions"]) - 1 for one in authorities),
        "authorities_not_listed": len(wanted) - len(authorities),
        "authorities": authorities,
    }


def _tokens(log: Log) -> list[tuple[str, ...]]:
    """The product tokens of each configured crawler, in order; `*` where none is configured."""
    found = set()
    for settings in configured_crawlers(log).values():
        said = settings.get("product_tokens")
        names = tuple(one for one in said if isinstance(one, str)) if isinstance(said, list) else ()
        found.add(names or (ANY_CRAWLER,))
    return sorted(found) or [(ANY_CRAWLER,)]


def _affordable(wanted: list[Row], crawlers: int) -> list[Row]:
    """As many authorities, most changes first, as a report can work through in seconds; at least one."""
    chosen: list[Row] = []
    snapshots = octets = 0
    for row in wanted:
        snapshots += row["fetches"]
        octets += row["body_bytes"] * crawlers
        if chosen and (snapshots > _SNAPSHOTS_MAX or octets > _JUDGED_BYTES_MAX):
            break
        chosen.append(row)
    return chosen


def _versions(log: Log, period: Period, chosen: list[Row], rows_max: int) -> list[list[Version]]:
    """The versions of each authority that are of the period, at most ``rows_max`` in all."""
    granted = {row["log"]: allowances(settings_object(row["settings"])) for row in log.rows("settings")}
    made: list[list[Version]] = []
    left = rows_max
    for batch in _batches(chosen):
        scopes = {name + "s": [row[name] for row in batch] for name in ("scheme", "host", "port")}
        rows = log.rows("robots_history", **scopes, end=period.end)
        by_authority: dict[Any, list[Version]] = {}
        for version in versions(rows, granted, allowances({})):
            if _of(version, period):
                by_authority.setdefault(version.authority, []).append(version)
        for row in batch:
            of_one = by_authority.get((row["scheme"], row["host"], row["port"]), [])
            if of_one and left > 0:
                made.append(of_one[:left])
                left -= len(of_one)
    return made


def _batches(chosen: list[Row]) -> list[list[Row]]:
    batches: list[list[Row]] = [[]]
    size = 0
    for row in chosen:
        if batches[-1] and size + row["fetches"] > _BATCH_SNAPSHOTS:
            batches.append([])
            size = 0
        batches[-1].append(row)
        size += row["fetches"]
    return [batch for batch in batches if batch]


def _of(version: Version, period: Period) -> bool:
    """Whether it was fetched in the period, or was still in force at its begin."""
    if period.start is None:
        return True
    held = version.in_force_until is not None and version.in_force_until > period.start
    return version.last_at >= period.start or held


class _Told:
    """What the log tells about versions beside the fetches themselves."""

    def __init__(self, log: Log, period: Period, found: list[list[Version]], tokens: list[tuple[str, ...]]) -> None:
        self._log = log
        self._found = found
        self._tokens = tokens
        self._diffs_left = DIFFS_MAX
        self._roots: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        every = [version for of_one in found for version in of_one]
        self._numbers = {id(version): number for number, version in enumerate(every)}
        shots = [(name, seq, number) for number, version in enumerate(every) for name, seq in version.snapshots]
        logs, seqs, numbers = zip(*shots, strict=True) if shots else ((), (), ())
        named = {"logs": list(logs), "seqs": list(seqs), "versions": list(numbers)}
        decided = log.rows("robots_history_decisions", **named, **period.parameters)
        self._decided = {row["version"]: row for row in decided}
        self._signals: dict[int, list[str]] = {}
        for row in log.rows("robots_history_signals", **named):
            scope = "" if row["scope"] is None else f" ({row['scope']})"
            self._signals.setdefault(row["version"], []).append(f"{row['protocol']}: {row['value']}{scope}")

    def authorities(self) -> list[dict[str, Any]]:
        """Each authority with its versions; files are read for as many at once as memory has room for."""
        made: list[dict[str, Any]] = []
        waiting: list[list[Version]] = []
        octets = 0
        for of_one in self._found:
            waiting.append(of_one)
            octets += sum(version.first["body_bytes"] or 0 for version in of_one)
            if octets > _BODIES_BYTES_MAX:
                made += self._read(waiting)
                waiting, octets = [], 0
        return made + self._read(waiting)

    def _read(self, waiting: list[list[Version]]) -> list[dict[str, Any]]:
        digests = sorted({version.digest for of_one in waiting for version in of_one if version.digest is not None})
        rows = self._log.rows("robots_bodies", digests=digests) if digests else []
        bodies = {row["robots_sha256"]: bytes(row["body"]) for row in rows if row["body"] is not None}
        return [self._authority(of_one, bodies) for of_one in waiting]

    def _authority(self, of_one: list[Version], bodies: dict[str, bytes]) -> dict[str, Any]:
        scheme, host, port = of_one[0].authority
        made, before = [], None
        for version in of_one:
            made.append(self._version(version, before, bodies))
            before = version.digest or before
        return {
            "authority": f"{scheme}://{Scope(scheme, host, port).authority}",
            "version_count": len(made),
            "versions": made,
        }

    def _version(self, version: Version, before: str | None, bodies: dict[str, bytes]) -> dict[str, Any]:
        first, number = version.first, self._numbers[id(version)]
        decided = self._decided.get(number, dict.fromkeys(_PER_VERSION, 0))
        return {
            "from": first["recorded_at"],
            "last_fetched_at": version.last_at,
            "to": version.until,
            "in_force_until": version.in_force_until,
            "in_force": version.in_force,
            "fetches": version.fetches,
            **{
                name: first[name]
                for name in (
                    "source",
                    "fetched_at",
                    "origin_log",
                    "status",
                    "outcome",
                    "error",
                    "truncated",
                    "looks_like_html",
                    "final_url",
                )
            },
            "sha256": version.digest,
            "bytes": first["body_bytes"],
            "redirects": len(first["redirects"]),
            **self._change(version.digest, before, bodies),
            "root": self._root(version, bodies),
            "signals": self._signals.get(number, []),
            **{name: decided[name] for name in _PER_VERSION},
        }

    def _change(self, digest: str | None, before: str | None, bodies: dict[str, bytes]) -> dict[str, Any]:
        """How it differs from the last file before it; nothing where one of the two is not at hand."""
        old = None if before is None else bodies.get(before)
        new = None if digest is None else bodies.get(digest)
        found = None if old is None or new is None else difference(old, new, lines_max=DIFF_LINES_MAX)
        if found is None:
            return {"lines_added": None, "lines_removed": None, "diff": None}
        shown = found.diff if self._diffs_left > 0 else None
        self._diffs_left -= bool(found.diff)
        return {"lines_added": found.added, "lines_removed": found.removed, "diff": shown}

    def _root(self, version: Version, bodies: dict[str, bytes]) -> list[dict[str, Any]]:
        outcome = RobotsOutcome(version.first["outcome"])
        if outcome is RobotsOutcome.SUCCESSFUL and version.digest not in bodies:
            return []  # the octets were pruned: nothing can be judged
        key = (outcome, version.digest)
        if key not in self._roots:
            octets = bodies.get(version.digest or "")
            self._roots[key] = [_judged(outcome, octets, tokens) for tokens in self._tokens]
        return self._roots[key]


def _judged(outcome: RobotsOutcome, octets: bytes | None, tokens: tuple[str, ...]) -> dict[str, Any]:
    rules = None if octets is None else compile_rules(octets, tokens)
    judgement = evaluate(outcome, rules, "/")
    return {
        "product_token": ", ".join(tokens),
        "verdict": judgement.verdict.value,
        "basis": judgement.basis.value,
        "rule": judgement.rule,
        "rule_line": judgement.rule_line,
    }


def rows(shown: dict[str, Any]) -> render.Table:
    """One CSV row for each version."""
    names = [field.name for field in VERSION if field.name not in ("diff", "root")]
    made = []
    for one in shown.get("authorities", []):
        for version in one["versions"]:
            root = {each["product_token"]: each["verdict"] for each in version["root"]}
            made.append({"authority": one["authority"], **{name: version[name] for name in names}, "root": root})
    return render.table_of(made, ["authority", *names, "root"])


KIND = Kind(
    name="robots-history",
    title="robots.txt over time",
    record=RECORD,
    counted="authorities",
    disclaimers=("D-COVER", "D-ROBOTS", "D-NOTCERT"),
    make=make,
    body=body,
    table=rows,
    takes=frozenset({"site", "limit"}),
    help="""Every robots.txt of a site on record: from when to when, what changed, what was decided by it.

    Without --site: every authority (scheme, host, port) with more than one robots.txt, as many as fit.

    \b
    Example:
      crawl-audit report robots-history ./audit-log --site example.com --format html -o robots.html
    """,
)
