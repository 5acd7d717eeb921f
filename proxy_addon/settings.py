"""The settings: built once, validated as a whole, refused as a whole with one sentence.

Precedence: defaults < TOML file < environment ``CRAWL_AUDIT_*`` < command line.  No unknown name is accepted
anywhere, because a mistyped setting that is silently ignored is a claim about the log that is not true.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import socket
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, IPvAnyNetwork, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from crawl_audit.errors import ConfigurationError
from crawl_audit.identity import ANY_CRAWLER, Crawler
from crawl_audit.policy import Policy
from crawl_audit.records import Mode
from proxy_addon.anchor_settings import AnchorSettings, SigningSettings, without_secrets
from proxy_addon.crawler_settings import CrawlerSettings
from proxy_addon.deadlines import Limits
from proxy_addon.limits import CrawlerLimits
from proxy_addon.limits_settings import LimitSettings
from proxy_addon.policy_settings import (
    ExemptionSettings,
    Identifier,
    PacingSettings,
    Section,
    SignalSettings,
    exemptions_of,
)
from proxy_addon.shared_robots_settings import SharedRobotsSettings
from proxy_addon.shared_robots_settings import recorded as recorded_robots
from proxy_addon.ship_settings import ShipSettings

ENV_PREFIX = "CRAWL_AUDIT_"
ENV_NESTED = "__"
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9_.-]+)):(?P<port>[0-9]{1,5})")

Seconds = Annotated[float, Field(gt=0, le=7 * 86_400)]


class RobotsSettings(SharedRobotsSettings):
    """How robots.txt is fetched and how long it holds."""

    # RFC 9309 2.4: not longer than 24 hours.
    ttl_s: Annotated[float, Field(gt=0, le=86_400)] = Field(
        3600, description="how long a copy holds without Cache-Control (at most 24 h)"
    )
    fetch_timeout_s: Seconds = Field(10, description="deadline of one fetch with all its redirects")
    unreachable_ttl_s: Seconds = Field(60, description="how long an unreachable robots.txt is not asked again")
    treat_429_as_unreachable: bool = Field(True, description="429 means disallow, which is stricter than RFC 9309")
    last_good_copy_s: Annotated[float, Field(ge=0, le=30 * 86_400)] = Field(
        0, description="oldest copy that stays in force while robots.txt is unreachable; 0: none, disallow"
    )


class OnFailure(StrEnum):
    """What happens to requests that cannot be recorded."""

    FAIL_CLOSED = "fail_closed"
    FAIL_OPEN = "fail_open"


class LogSettings(Section):
    """How the log is written, sealed and rotated."""

    seal_interval_s: Seconds = Field(15, description="longest time with traffic between two seals")
    idle_seal_interval_s: Seconds = Field(60, description="time between two seals without traffic (heartbeat)")
    segment_age_s: Seconds = Field(300, description="age at which the live file becomes a segment")
    segment_mib: int = Field(64, ge=1, le=4096, description="size at which the live file becomes a segment")
    queue_records: int = Field(10_000, ge=10, description="records that may wait for a commit before requests get 503")
    commit_timeout_s: Seconds = Field(2, description="longest wait for a decision to become durable, then 503")
    merge_interval_h: float = Field(
        24, ge=0, le=24 * 366, description="time between two mergers of small segments into larger ones; 0: never"
    )
    reserve_mib: int = Field(128, ge=0, description="free disk space below which no request is forwarded")
    on_failure: OnFailure = Field(
        OnFailure.FAIL_CLOSED,
        description="while nothing can be recorded, fail_closed: no request leaves; fail_open: requests leave by a"
        " robots.txt already on record and are entered late, beside a gap record that every report begins with",
    )
    emergency_mib: int = Field(
        64, ge=1, le=4096, description="room set aside (fail_open) for what leaves unrecorded; beyond it, it is counted"
    )


class UpstreamSettings(Section):
    """How origin servers are reached."""

    trusted_ca: Path | None = Field(None, description="PEM file of certificate authorities trusted beside certifi's")
    idle_timeout_s: int = Field(120, ge=1, le=3600, description="idle time after which a connection is closed")
    connect_timeout_s: Seconds = Field(10, description="time to find a site's address and to connect to it")
    tls_timeout_s: Seconds = Field(10, description="time for the TLS handshake with a site")
    first_byte_timeout_s: Seconds = Field(60, description="time from a request's end to the end of the answer's head")
    total_timeout_s: Annotated[float, Field(ge=0, le=7 * 86_400)] = Field(
        3600, description="longest life of an exchange, WebSockets included; 0: no end"
    )
    min_rate_bytes_s: int = Field(100, ge=0, description="least rate of a body in either direction; 0: none")
    min_rate_window_s: Seconds = Field(60, description="time over which the least rate is measured")


class EgressSettings(Section):
    """Where requests may go: the public internet, and what is named here."""

    allow_networks: tuple[IPvAnyNetwork, ...] = Field(
        (), description="networks besides the public internet that may be connected to, for example 10.1.0.0/16"
    )
    deny_networks: tuple[IPvAnyNetwork, ...] = Field(
        (), description="networks that may not, whatever is allowed; metadata services of clouds never may"
    )


class ClientSettings(Section):
    """What is expected of a crawler's connection."""

    head_timeout_s: Seconds = Field(
        15, description="time for a request's head, and for the rest of a request that is answered already"
    )


class Settings(BaseSettings):
    """Everything that decides how the sidecar behaves; recorded in the log's run record."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_NESTED, extra="forbid", frozen=True, env_ignore_empty=True
    )

    log: Path = Field(Path("audit-log"), description="log directory")
    ca: Path = Field(Path("audit-ca"), description="directory of the certificate authority crawlers trust")
    listen: str = Field("127.0.0.1:8080", description="address of the proxy, HOST:PORT")
    admin: str = Field("127.0.0.1:8081", description="address of health, metrics and seal, HOST:PORT")
    mode: Mode = Field(Mode.AUDIT, description="audit: record; enforce: record and deny what robots.txt disallows")
    node: Identifier = Field(default_factory=lambda: _node_name(), description="name of this sidecar in its logs")
    crawlers: tuple[CrawlerSettings, ...] = Field((), description="the crawlers that may use the sidecar")
    workers: int = Field(1, ge=1, le=64, description="processes that serve the port together: one for each core")
    drain_timeout_s: Seconds = Field(20, description="time open exchanges get to finish at a stop")
    robots: RobotsSettings = RobotsSettings()
    signals: SignalSettings = SignalSettings()
    logging: LogSettings = LogSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    egress: EgressSettings = EgressSettings()
    client: ClientSettings = ClientSettings()
    limits: LimitSettings = LimitSettings()
    exemptions: tuple[ExemptionSettings, ...] = Field((), description="grounds for requests that a site disallows")
    pacing: PacingSettings = PacingSettings()
    signing: SigningSettings = SigningSettings()
    anchors: AnchorSettings = AnchorSettings()
    ship: ShipSettings = ShipSettings()

    @field_validator("listen", "admin")
    @classmethod
    def _is_address(cls, value: str) -> str:
        split_address(value)
        return value

    @field_validator("node")
    @classmethod
    def _node_is_no_custodian(cls, value: str) -> str:
        if value == "custodian":
            raise ValueError("'custodian' is the name of logs that say what was done to others; choose another")
        return value

    @model_validator(mode="after")
    def _addresses_are_distinct(self) -> Self:
        if self.listen == self.admin and split_address(self.listen)[1]:
            raise ValueError(f"listen and admin are both {self.listen}: give each an address of its own")
        return self

    @model_validator(mode="after")
    def _checkpoints_leave_the_log(self) -> Self:
        log = self.log.absolute()
        for push in self.anchors.pushes:
            if push.directory is not None and push.directory.absolute().is_relative_to(log):
                raise ValueError(f"anchors: {push.name} puts checkpoints into the log directory: name another")
        return self

    @model_validator(mode="after")
    def _crawlers_are_distinct(self) -> Self:
        ids = [crawler.id for crawler in self.crawlers]
        if len(set(ids)) != len(ids):
            raise ValueError("crawlers: each crawler needs an id of its own")
        if len(ids) > 1 and any(not (c.token_file or c.token_sha256) for c in self.crawlers):
            raise ValueError(
                "crawlers: with more than one crawler each needs token_file or token_sha256, "
                "so that the log can tell them apart"
            )
        return self

    @model_validator(mode="after")
    def _exemptions_are_distinct_and_of_known_crawlers(self) -> Self:
        ids = [exemption.id for exemption in self.exemptions]
        if len(set(ids)) != len(ids):
            raise ValueError("exemptions: each exemption needs an id of its own")
        known = {crawler.id for crawler in self.crawlers}
        for exemption in self.exemptions:
            for crawler in exemption.crawlers:
                if crawler not in known:
                    raise ValueError(f"exemptions: {exemption.id} names the crawler {crawler}, which is not configured")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line over environment over file; no .env file is read behind the operator's back."""
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls))

    def crawler_values(self) -> tuple[Crawler, ...]:
        """The crawlers as kernel values; one that is judged by the `*` groups where none is configured."""
        if not self.crawlers:
            return (Crawler(id="unnamed", product_tokens=(ANY_CRAWLER,)),)
        return tuple(crawler.crawler() for crawler in self.crawlers)

    def policy(self) -> Policy:
        """What is declared about exemptions and signals, as the kernel's value."""
        return Policy(exemptions_of(self.exemptions), self.signals.signal_policy())

    def crawler_limits(self) -> dict[str, CrawlerLimits]:
        """What each crawler may have of its own, by its id."""
        return {crawler.id: crawler.limits() for crawler in self.crawlers}

    def deadlines(self) -> Limits:
        """The deadlines of exchanges and connections, as the watcher's value."""
        upstream = self.upstream
        return Limits(
            connect_s=upstream.connect_timeout_s,
            tls_s=upstream.tls_timeout_s,
            first_byte_s=upstream.first_byte_timeout_s,
            idle_s=upstream.idle_timeout_s,
            total_s=upstream.total_timeout_s,
            rate_bytes_s=upstream.min_rate_bytes_s,
            rate_window_s=upstream.min_rate_window_s,
            client_head_s=self.client.head_timeout_s,
        )

    def public(self) -> dict[str, Any]:
        """The settings as they are recorded: everything but where secrets lie and what they hash to."""
        values = self.model_dump(mode="json")
        for crawler in values["crawlers"]:
            crawler["authenticated"] = bool(crawler.pop("token_file") or crawler.pop("token_sha256", None))
            crawler.pop("token_sha256", None)
        values["robots"] = recorded_robots(values["robots"])
        return without_secrets(values)

    def recorded(self) -> str:
        """:meth:`public` as JSON with sorted keys; its SHA-256 identifies the settings in force."""
        return json.dumps(self.public(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def split_address(value: str) -> tuple[str, int]:
    """(host, port) of ``HOST:PORT`` or ``[IPv6]:PORT``; raises ValueError with a sentence."""
    match = _ADDRESS.fullmatch(value)
    if match is None or int(match["port"]) > 65_535:
        raise ValueError(f"{value!r} is not an address of the form HOST:PORT")
    return match["v6"] or match["host"], int(match["port"])


def _node_name() -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:40].strip("-.")
    return name or "sidecar"


def _known_paths(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    paths = set()
    for name, info in model.model_fields.items():
        paths.add((*prefix, name))
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            paths |= _known_paths(info.annotation, (*prefix, name))
    return paths


def _refuse_unknown_environment(environment: Mapping[str, str]) -> None:
    known = {ENV_PREFIX + ENV_NESTED.join(path).upper() for path in _known_paths(Settings)}
    for name in environment:
        if name.upper().startswith(ENV_PREFIX) and name.upper() not in known:
            raise ConfigurationError(f"The environment variable {name} is not a setting{_suggestion(name, known)}.")


def _suggestion(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _sentence(error: ValidationError, source: str) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        leaf = str(first["loc"][-1])
        names = {path[-1] for path in _known_paths(Settings)}
        names |= set(CrawlerSettings.model_fields) | set(ExemptionSettings.model_fields)
        return f"{source}: {place} is not a setting{_suggestion(leaf, names)}."
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{source}: {place + ': ' if place else ''}{message}."


def load(config: Path | None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings from file, environment and command line; raises ConfigurationError with one sentence."""
    _refuse_unknown_environment(os.environ)
    if config is not None:
        try:
            tomllib.loads(config.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"The configuration file {config} cannot be read: {error.strerror}.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"The configuration file {config} is not TOML: {error}.") from error

    class Loaded(Settings):
        model_config = SettingsConfigDict(toml_file=config)

    try:
        values = Loaded(**dict(overrides or {}))
    except ValidationError as error:
        source = f"The configuration ({config})" if config else "The configuration"
        raise ConfigurationError(_sentence(error, source)) from error
    except SettingsError as error:  # a variable for a whole section or list that is not JSON
        raise ConfigurationError(f"The environment ({ENV_PREFIX}…): {error}; give it as JSON.") from error
    return Settings.model_construct(**{name: getattr(values, name) for name in Settings.model_fields})
