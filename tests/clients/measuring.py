"""One client through one sidecar: what the site saw beside what the log has."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.clients.recipes import Command, Job, Recipe, run
from tests.end_to_end.harness import Sidecar
from tests.end_to_end.origin import Farm, Origin

OPEN, DISALLOWED = "/a.html", "/private/one.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of one run: how often the open page was seen by the site, how often it is on record as answered."""

    said: str
    seen: int
    recorded: int
    denied_recorded: int
    denied_seen: int
    shown: bool

    @property
    def through(self) -> bool:
        """Everything the site saw went through the sidecar, and the disallowed page never left."""
        return self.seen == self.recorded > 0 and self.denied_recorded > 0 and self.denied_seen == 0

    @property
    def past(self) -> bool:
        """The site saw what the log has not."""
        return self.seen + self.denied_seen > self.recorded

    @property
    def nothing(self) -> bool:
        """The site saw nothing, and no request was forwarded."""
        return self.seen == self.recorded == self.denied_seen == 0


class Measure:
    """Runs clients against fresh sites."""

    def __init__(self, sidecar: Sidecar, sites: Farm, start: Callable[[Farm, str], Origin], bundle: Path) -> None:
        self._sidecar = sidecar
        self._sites = sites
        self._start = start
        self._bundle = bundle

    def recipe(self, recipe: Recipe, scheme: str, *, proper: bool = True, trusts: bool = True) -> Measured:
        """A run of ``recipe``."""
        return self.command(recipe.command, scheme, shows=recipe.shows, proper=proper, trusts=trusts)

    def command(
        self,
        command: Callable[[Job], Command],
        scheme: str,
        *,
        shows: str = "",
        proper: bool = True,
        trusts: bool = True,
    ) -> Measured:
        """A run of a command on a site of its own."""
        origin = self._start(self._sites, scheme)
        urls = (origin.url + OPEN, origin.url + DISALLOWED)
        with tempfile.TemporaryDirectory(prefix="crawl-audit-client-") as place:
            job = Job(
                proxy=self._sidecar.proxy,
                ca=self._sidecar.site.certificate,
                bundle=self._bundle,
                directory=Path(place),
                urls=urls,
                proper=proper,
                trusts=trusts,
            )
            said = run(command(job), Path(place))
        rows = self._sidecar.sealed_rows(
            f"SELECT target, action, status FROM exchange WHERE port = {origin.port} AND host = '{origin.name}'"
        )
        answered = [row for row in rows if row["action"] == "forwarded" and row["status"] == 200]
        return Measured(
            said=said,
            seen=len(origin.hits(OPEN)),
            recorded=len([row for row in answered if row["target"] == OPEN]),
            denied_recorded=len([row for row in rows if row["target"] == DISALLOWED and row["action"] == "denied"]),
            denied_seen=len(origin.hits(DISALLOWED)),
            shown=re.search(shows.replace("{url}", re.escape(urls[1])), said) is not None,
        )
