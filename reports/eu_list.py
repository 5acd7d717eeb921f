"""Which domain names the EU summary lists: a share of their number, ranked by the size of what they gave."""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass
from typing import Any

from reports.attestations import Attestations
from reports.eu_fields import ATTESTED, CANDIDATE, RANK_BASIS, SME_RULE, TEN_PERCENT
from reports.log import Row

# Footnote 16 of the template, as quoted: the top 10 % of all domain names by size; for small and medium-sized
# enterprises the top 5 % or 1,000. "Whichever is lower" is how filings read it.
_TENTH, _TWENTIETH, _SME_MAX = 10, 20, 1000
_TOP_LEVEL_MAX = 10
_USED = ("included", "partial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The list, how it was chosen, and the top-level domains of all that could have been on it."""

    domains: list[dict[str, Any]]
    selection: dict[str, Any]
    top_level_domains: dict[str, int]


def listed_of(total: int, *, sme: bool) -> int:
    """How many of ``total`` domain names are listed."""
    if sme:
        return min(-(-total // _TWENTIETH), _SME_MAX)
    return -(-total // _TENTH)


def choose(rows: list[Row], sme: bool | None, attested: Attestations) -> Chosen:
    """The list of ``rows`` (site, content_responses, content_bytes; the most octets first, ties by name)."""
    named = [row for row in rows if not _is_address(row["site"])]
    considered = [row for row in named if not _left_out(row["site"], attested)]
    total = len(considered)
    domains = [
        {
            "rank": rank,
            "domain": row["site"],
            "content_responses": row["content_responses"],
            "content_bytes": row["content_bytes"],
        }
        for rank, row in enumerate(considered[: listed_of(total, sme=bool(sme))], start=1)
    ]
    all_attested = domains and all(_is_used(one["domain"], attested) for one in domains)
    return Chosen(
        domains=domains,
        selection={
            "rule": SME_RULE if sme else TEN_PERCENT,
            "sme": sme,
            "rank_basis": RANK_BASIS,
            "total": total,
            "listed": len(domains),
            "addresses": len(rows) - len(named),
            "attested_excluded": len(named) - total,
            "status": ATTESTED if all_attested else CANDIDATE,
        },
        top_level_domains=_top_level([row["site"] for row in considered]),
    )


def _is_address(site: str) -> bool:
    try:
        ipaddress.ip_address(site.strip("[]"))
    except ValueError:
        return False
    return True


def _left_out(site: str, attested: Attestations) -> bool:
    said = attested.of(site)
    return said is not None and said.status == "excluded"


def _is_used(site: str, attested: Attestations) -> bool:
    said = attested.of(site)
    return said is not None and said.status in _USED


def _top_level(sites: list[str]) -> dict[str, int]:
    counted = Counter(site.rpartition(".")[2] for site in sites)
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:_TOP_LEVEL_MAX])
