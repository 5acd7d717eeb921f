"""What the log shows of each crawler in a period, as the values of its record: a few queries, put together here."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from reports import pace
from reports.crawler_fields import AGENTS_MAX, MODALITIES, SITES_MAX
from reports.log import Log, Row
from reports.period import Period
from reports.reservations import PREFERENCES_ONLY
from reports.shares import ratio

Figures = dict[str, dict[str, Any]]
"""crawler → name of a field → value"""
NO_END = "not on record"
NO_ANSWER = "no answer"
_DECIDED = (
    "product_tokens",
    "requests",
    "forwarded",
    "denied",
    "disallowed",
    "violations",
    "sites",
    "hosts",
    "token_in_user_agent",
    "user_agents_seen",
    "modes",
    "collection_from",
    "collection_to",
)
_JUDGED = ("evaluated", "not_evaluated", "age_max_ms", "older_than_24_h", "divergent")


def decided(log: Log, period: Period) -> Figures:
    """What was asked and decided, of every crawler with a request in the period; ``pace_row`` is the query's row."""
    made = {}
    for row in log.rows("activity", **period.parameters):
        judged = {name: row[name] for name in _JUDGED}
        whole = row["evaluated"] + row["not_evaluated"]
        made[row["crawler"]] = {
            **{name: row[name] for name in _DECIDED},
            "token_in_user_agent_ratio": ratio(row["token_in_user_agent"], row["requests"]),
            "robots": {**judged, "evaluated_ratio": ratio(row["evaluated"], whole)},
            "pace": pace.pace(row),
            "pace_row": row,
        }
    return made


def answered(log: Log, period: Period) -> defaultdict[str, dict[str, Any]]:
    """How the forwarded requests of each crawler ended, and what came back."""
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    for row in log.rows("activity_answers", **period.parameters):
        rows[row["crawler"]].append(row)
    made: defaultdict[str, dict[str, Any]] = defaultdict(lambda: _answers([]))
    made.update({crawler: _answers(found) for crawler, found in rows.items()})
    return made


def _answers(rows: list[Row]) -> dict[str, Any]:
    content = [row for row in rows if row["content"]]
    return {
        "content_responses": sum(row["answers"] for row in content),
        "content_bytes": sum(row["octets"] for row in content),
        "bytes": sum(row["octets"] for row in rows),
        "completed": sum(row["completed"] for row in rows),
        "barriers": sum(row["answers"] for row in rows if row["barrier"] is not None),
        "barriers_by_kind": _tally((row["barrier"], row["answers"]) for row in rows if row["barrier"] is not None),
        "outcomes": _tally((row["outcome"], row["answers"]) for row in rows),
        "statuses": _tally((_status_class(row["status"]), row["answers"]) for row in rows),
        "answers_429": sum(row["answers"] for row in rows if row["status"] == 429),
        "answers_503": sum(row["answers"] for row in rows if row["status"] == 503),
        "modalities": _by_kind((_kind(row["modality"]), row["answers"]) for row in content),
        "modality_bytes": _by_kind((_kind(row["modality"]), row["octets"]) for row in content),
        "last_content_at": max((row["last_at"] for row in content), default=None),
    }


def _tally(pairs: Any) -> dict[str, int]:
    made: defaultdict[str, int] = defaultdict(int)
    for name, count in pairs:
        made[name] += count
    return dict(sorted(made.items(), key=lambda item: (-item[1], item[0])))


def _by_kind(pairs: Any) -> dict[str, int]:
    found = _tally(pairs)
    return {name: found[name] for name in MODALITIES if name in found}


def _kind(modality: str | None) -> str:
    """A kind of content by its fixed word; what a hostile log holds instead counts as other."""
    return "unknown" if modality is None else modality if modality in MODALITIES else "other"


def _status_class(status: int | None) -> str:
    return NO_ANSWER if status is None else f"{status // 100}xx"


def signals(log: Log, period: Period) -> defaultdict[str, dict[str, int]]:
    """crawler → protocol → sites at which it was found."""
    made: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for row in log.rows("activity_signals", **PREFERENCES_ONLY, **period.parameters):
        made[row["crawler"]][row["protocol"]] = row["sites"]
    return made


def ongoing(log: Log, period: Period) -> dict[str, bool]:
    """crawler → whether it asked after the period, or its last sidecar has not said that it stopped."""
    return {
        row["crawler"]: not row["stopped"] or (period.end is not None and row["last_at"] >= period.end)
        for row in log.rows("activity_last")
    }


def all_of(log: Log, period: Period) -> Figures:
    """Everything that the record of activity takes from the log, exemptions and pace at each authority left out."""
    found, ends, protocols = decided(log, period), answered(log, period), signals(log, period)
    going, counts = ongoing(log, period), _counts(log, period)
    days, tops = _lists(log, period)
    busiest = {row["crawler"]: row["requests"] for row in log.rows("activity_load", **period.parameters)}
    for crawler, figures in found.items():
        ended, row = ends[crawler], figures.pop("pace_row")
        without = max(0, figures["forwarded"] - ended.pop("completed"))
        del ended["last_content_at"]
        outcomes = {**ended["outcomes"], **({NO_END: without} if without else {})}
        p05, median, p95 = row["intervals_ms"] or (None, None, None)
        figures |= {
            "load": {
                "requests_per_second_max": busiest.get(crawler, 0),
                "interval_p05_ms": p05,
                "interval_median_ms": median,
                "interval_p95_ms": p95,
                "answers_429": ended.pop("answers_429"),
                "answers_503": ended.pop("answers_503"),
                "pace_kept_ratio": ratio(row["pace_known"] - row["faster_than_asked"], row["pace_known"]),
            },
            **ended,
            "outcomes": outcomes,
            "without_completion": without,
            "signals": protocols[crawler],
            "collection_ongoing": going[crawler],
            "robots_basis": counts[crawler]["basis"],
            "observed_user_agents": [
                {"user_agent": agent, "requests": number} for agent, number in counts[crawler]["user_agent"].items()
            ],
            "by_day": days[crawler],
            "top_sites": tops[crawler],
        }
    return found


def _counts(log: Log, period: Period) -> defaultdict[str, dict[str, dict[Any, int]]]:
    """crawler → what is counted → value → count."""
    made: defaultdict[str, dict[str, dict[Any, int]]] = defaultdict(lambda: {"user_agent": {}, "basis": {}})
    for row in log.rows("activity_counts", most=AGENTS_MAX, **period.parameters):
        made[row["crawler"]][row["what"]][row["value"]] = row["count"]
    return made


def _lists(log: Log, period: Period) -> tuple[defaultdict[str, list[Row]], defaultdict[str, list[Row]]]:
    """crawler → its days, and crawler → its sites with the most content."""
    days: defaultdict[str, list[Row]] = defaultdict(list)
    for row in log.rows("activity_days", **period.parameters):
        days[row.pop("crawler")].append({**row, "day": row["day"].isoformat()})
    tops: defaultdict[str, list[Row]] = defaultdict(list)
    for row in log.rows("activity_sites", most=SITES_MAX, **period.parameters):
        tops[row.pop("crawler")].append(row)
    return days, tops
