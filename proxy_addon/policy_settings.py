"""The settings by which the operator departs from the bare verdict: exemptions, heeded signals, and the pace.

Each is recorded with the run like every other setting, so an auditor sees what was declared, by whom and until when.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from crawl_audit.exemptions import Exemption, Exemptions, Reason, recorded_exemption
from crawl_audit.signal_policy import Purpose, SignalPolicy, Word
from crawl_audit.site import site_of
from crawl_audit.target import TargetError, normal_host

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Text = Annotated[str, Field(min_length=1, max_length=500)]
_DAY = datetime.timedelta(days=1)


class Section(BaseModel):
    """A table of settings: nothing unknown, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _moment(value: Any, *, end: bool) -> Any:
    """A date or time of TOML or ISO 8601 as an instant in UTC; of a day its start, or with ``end`` that of the next."""
    if isinstance(value, str):
        try:
            value = datetime.date.fromisoformat(value)
        except ValueError:
            try:
                value = datetime.datetime.fromisoformat(value)
            except ValueError as error:
                raise ValueError(
                    f"{value!r} is not a date or time of the form 2027-06-30 or 2027-06-30T12:00Z"
                ) from error
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC) if value.tzinfo else value.replace(tzinfo=datetime.UTC)
    if isinstance(value, datetime.date):
        start = datetime.datetime.combine(value, datetime.time(), datetime.UTC)
        return start + _DAY if end else start
    raise ValueError("give a date or time, for example 2027-06-30")


From = Annotated[datetime.datetime, BeforeValidator(lambda value: _moment(value, end=False))]
Until = Annotated[datetime.datetime, BeforeValidator(lambda value: _moment(value, end=True))]


class ExemptionSettings(Section):
    """One ground on which requests are made that the site disallows."""

    id: Identifier = Field(description="name of the exemption in the log and the reports")
    sites: tuple[str, ...] = Field((), description="registrable domains it covers, with all hosts under them")
    hosts: tuple[str, ...] = Field((), description="hosts it covers")
    path_prefixes: tuple[str, ...] = Field((), description="starts of the paths it covers; none: every path")
    crawlers: tuple[Identifier, ...] = Field((), description="ids of the crawlers it covers; none: every crawler")
    reason: Reason = Field(description="licence, own_site, research or false_positive")
    reference: Text = Field(description="where the ground can be looked up: number of a contract, a ticket")
    approver: Text = Field(description="who approved it")
    not_before: From | None = Field(None, description="when it begins (UTC); a date: at the start of that day")
    until: Until = Field(description="when it ends (UTC); a date: at the end of that day")

    @field_validator("sites", "hosts")
    @classmethod
    def _are_hosts(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(normal_host(name) for name in names)
        except TargetError as error:
            raise ValueError(str(error)) from error

    @field_validator("sites")
    @classmethod
    def _are_sites(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if site_of(name) != name:
                raise ValueError(f"{name} is a host of the site {site_of(name)}: list it under hosts")
        return names

    @field_validator("path_prefixes")
    @classmethod
    def _are_paths(cls, prefixes: tuple[str, ...]) -> tuple[str, ...]:
        for prefix in prefixes:
            if not prefix.startswith("/"):
                raise ValueError(f"{prefix!r} does not start with a slash")
        return prefixes

    @model_validator(mode="after")
    def _is_of_something(self) -> Self:
        if not self.sites and not self.hosts:
            raise ValueError("name the sites or hosts it covers")
        if self.not_before is not None and self.not_before >= self.until:
            raise ValueError("not_before is not before until")
        return self

    def exemption(self) -> Exemption:
        """The kernel's value."""
        return recorded_exemption(self.model_dump(mode="json"))


class PurposeWords(Section):
    """What is done about a preference of one protocol, by the purpose it refuses."""

    training: Word = Word.RECORD
    search: Word = Word.RECORD
    user: Word = Word.RECORD

    @model_validator(mode="before")
    @classmethod
    def _one_word_for_all(cls, value: Any) -> Any:
        return dict.fromkeys(Purpose, value) if isinstance(value, str) else value


class SignalSettings(Section):
    """Which usage preferences are looked for and deny a request; without words all are recorded and none denies."""

    tdmrep: bool = Field(
        False, description="fetch /.well-known/tdmrep.json beside robots.txt; always done where the policy denies by it"
    )
    html_meta: bool = Field(False, description="read meta and link tags in the first 64 KiB of HTML pages")
    policy: dict[Literal["content-signal", "content-usage", "tdmrep"], PurposeWords] = Field(
        default_factory=dict, description="protocol: record or deny, or a table of them by purpose"
    )

    @property
    def fetches_tdmrep(self) -> bool:
        """Whether tdmrep.json is asked for: it is wanted, or a policy would else deny by what nobody has read."""
        words = self.policy.get("tdmrep", PurposeWords())
        return self.tdmrep or Word.DENY in (words.training, words.search, words.user)

    def signal_policy(self) -> SignalPolicy:
        """The kernel's value."""
        return SignalPolicy(self.model_dump(mode="json")["policy"])


class PacingSettings(Section):
    """Whether requests are held until the pace that sites ask for."""

    enforce: bool = Field(False, description="hold requests that come earlier than Crawl-delay or Request-rate ask")
    hold_max_s: Annotated[float, Field(gt=0, le=300)] = Field(
        10, description="longest time a request is held; one that would have to wait longer gets 429"
    )


def exemptions_of(settings: Iterable[ExemptionSettings]) -> Exemptions:
    """All exemptions as the kernel's value, in the order declared."""
    return Exemptions(each.exemption() for each in settings)


def expired(settings: Iterable[ExemptionSettings], now: datetime.datetime) -> list[str]:
    """A sentence for each exemption that is over at ``now`` and will never apply."""
    return [
        f"Exemption {each.id} ended at {each.until:%Y-%m-%dT%H:%M:%SZ} and applies to nothing; remove or renew it."
        for each in settings
        if now >= each.until
    ]
