"""What the operator attests about training with what sites gave: looked up by site, never derived from the log."""

from __future__ import annotations

from reports.declarations import Declarations, TrainingUse
from reports.declared_values import EVERY_SITE

UNKNOWN = "unknown"
STATUSES = (UNKNOWN, "operator_attested_included", "operator_attested_excluded", "operator_attested_partial")


class Attestations:
    """The attestations of an operator file, the first that names a site before one for all sites."""

    def __init__(self, declared: Declarations) -> None:
        self._by_site: dict[str, TrainingUse] = {}
        for one in declared.training_use:
            for site in one.sites:
                self._by_site.setdefault(site, one)

    def of(self, site: str) -> TrainingUse | None:
        """The attestation about a site; None where there is none."""
        return self._by_site.get(site) or self._by_site.get(EVERY_SITE)

    def status(self, site: str) -> str:
        """One of :data:`STATUSES`."""
        said = self.of(site)
        return UNKNOWN if said is None else f"operator_attested_{said.status}"
