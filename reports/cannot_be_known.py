"""What no answer from a crawl log can tell: fixed sentences, of which each answer says those that apply to it."""

from __future__ import annotations

from typing import Any

TEXTS: dict[str, str] = {
    "U-PIPELINES": "Whether the content was collected by other means: systems that do not use this proxy leave no trace"
    " in its log.",
    "U-DATASETS": "Whether the content is in data sets that others compiled.",
    "U-BEFORE": "What happened before the log begins.",
    "U-GAPS": "What happened in the gaps between the times that the log covers.",
    "U-PRUNED": "What was in records that were pruned.",
    "U-MISSING": "What is in records that are missing from the log or withheld in this copy of it.",
    "U-ERASED": "Which URL some of the requests to this host were for: it was erased, or is withheld in this copy.",
    "U-UNRECORDED": "What some requests were that left before their record was durable.",
    "U-LIVE": "What is in records of a running proxy that are not yet published.",
    "U-TUNNELS": "What went through connections that the proxy did not intercept.",
    "U-USE": "What became of the content after it was received: whether it was kept, cleaned out, or used to train a"
    " model.",
}
"""Every sentence completes "It cannot be known from this log: …"."""
ALWAYS = ("U-PIPELINES", "U-DATASETS", "U-BEFORE")


def chosen(covered: dict[str, Any], *, without_target: int = 0) -> list[dict[str, str]]:
    """The sentences that apply to an answer with this coverage (internal level), in a fixed order."""
    unrecorded = covered["fail_open"]
    applies = {
        "U-GAPS": bool(covered["gap_count"]) or not covered["periods"],
        "U-PRUNED": bool(covered["pruned_records"]),
        "U-MISSING": bool(covered["missing_records"] or covered["quarantined_files"]),
        "U-ERASED": bool(without_target),
        "U-UNRECORDED": unrecorded is not None and unrecorded["kept"] < unrecorded["requests"],
        "U-LIVE": bool(covered["live_files"]),
        "U-TUNNELS": bool(covered["tunnels"]),
        "U-USE": True,
    }
    return [{"id": name, "text": TEXTS[name]} for name in TEXTS if name in ALWAYS or applies.get(name)]
