"""Every kind of report, in the order `crawl-audit report --help` lists them."""

from __future__ import annotations

from reports.kinds import (
    activity,
    card,
    coverage_report,
    eu,
    japan,
    opt_out,
    reevaluation,
    robots_history,
    sites,
    violations,
)
from reports.report import Kind

KINDS: tuple[Kind, ...] = (
    activity.KIND,
    sites.KIND,
    opt_out.KIND,
    violations.KIND,
    robots_history.KIND,
    japan.KIND,
    eu.KIND,
    card.KIND,
    reevaluation.KIND,
    coverage_report.KIND,
)
