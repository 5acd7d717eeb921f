"""The numbers a log is written by: when to seal, rotate, refuse and give up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Each in the unit of its name; all but the three about idle and heartbeat segments are settings."""

    seal_interval_s: float = 15.0
    idle_seal_interval_s: float = 60.0
    segment_age_s: float = 300.0
    segment_bytes: int = 64 * 1024 * 1024  # what is not yet in a segment is held in memory as well
    first_segment_s: float = 15.0  # idle time before the first decisions of a run can be queried
    idle_segment_s: float = 60.0  # the same, later
    heartbeat_segment_s: float = 3600.0  # age of a live file that holds nothing but seals
    queue_records: int = 10_000
    commit_timeout_s: float = 2.0
    reserve_bytes: int = 128 * 1024 * 1024
    merge_interval_s: float = 0  # between two looks for segments to merge; 0: never
