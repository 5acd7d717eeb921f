"""What the EU record must say of crawlers for training, computed without a line of the reports' SQL."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection
from typing import Any

from polars import DataFrame, col

from reports.period import Period
from tests.reports.oracles import activity

ADDRESS = re.compile(r"[0-9.]+|\[?[0-9a-f:]*:[0-9a-f:.]*\]?")


def expected(
    frames: dict[str, DataFrame], period: Period, crawlers: Collection[str], left_out: Collection[str], *, sme: bool
) -> dict[str, Any]:
    """The list, its choice, periods and sizes of these crawlers; ``left_out``: sites attested as not used."""
    inside = activity.decisions(frames, period).filter(col("crawler").is_in(list(crawlers)))
    content = activity.answers(frames, inside).filter(col("content"))
    gave = activity.by_content(content)
    named = [one for one in gave if not ADDRESS.fullmatch(one[0])]
    counted = [one for one in named if one[0] not in left_out]
    share = math.ceil(len(counted) / 20) if sme else math.ceil(len(counted) / 10)
    listed = counted[: min(share, 1000) if sme else share]
    top = Counter(site.split(".")[-1] for site, _, _ in counted)
    return {
        "domains": [
            {"rank": rank, "domain": site, "content_responses": answers, "content_bytes": octets}
            for rank, (site, octets, answers) in enumerate(listed, start=1)
        ],
        "total": len(counted),
        "addresses": len(gave) - len(named),
        "attested_excluded": len(named) - len(counted),
        "top_level_domains": dict(sorted(top.items(), key=lambda pair: (-pair[1], pair[0]))[:10]),
        "latest_acquisition": content["asked"].max(),
        "modality_bytes": activity.in_order(
            dict(content.group_by("kind").agg(col("response_bytes").sum()).iter_rows())
        ),
        "periods": {
            name: tuple(f"{at:%m/%Y}" for at in (left.min(), left.max()))
            for name in crawlers
            for left in [inside.filter((col("crawler") == name) & activity.FORWARDED)["recorded_at"]]
            if left.len()
        },
    }
