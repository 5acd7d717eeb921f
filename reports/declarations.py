"""What only the operator can say, from one TOML file: who it is, what its crawlers are for, what it does and states.

Nothing here is derived from traffic; every report that shows it says so (D-DECL), and what is not said is shown as
withheld: not supplied. A text is a string, or one string for each language: ``{ en = "…", ja = "…" }``.
"""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Hashable, Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from crawl_audit.errors import ConfigurationError
from crawl_audit.text import first_line
from reports import declaration_errors, declared_values

FILE_MAX = 1 << 20
"""Octets of the operator file."""
TEXT_MAX = 20_000
"""Characters of one text: a statement, not a book."""
LIST_MAX = 200
"""Entries of a list inside a table."""
TABLES_MAX = 2_000
"""Tables of one kind: crawlers, attestations, items."""
SITES_MAX = 50_000
"""Sites that one attestation names."""


def _localised(value: Any) -> Any:
    return {"en": value} if isinstance(value, str) else value


Line = Annotated[str, Field(max_length=500), AfterValidator(declared_values.line)]
Lines = Annotated[list[Line], Field(min_length=1, max_length=LIST_MAX)]
Localised = Annotated[
    dict[
        Literal["en", "ja"],
        Annotated[str, Field(max_length=TEXT_MAX), AfterValidator(declared_values.paragraphs)],
    ],
    BeforeValidator(_localised),
    Field(min_length=1),
]
Address = Annotated[Line, AfterValidator(declared_values.address)]
Country = Annotated[str, AfterValidator(declared_values.country)]
Digest = Annotated[str, AfterValidator(declared_values.digest)]
Month = Annotated[str, AfterValidator(declared_values.month)]
Site = Annotated[str, AfterValidator(declared_values.site)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Operator(_Table):
    """``[operator]``: who answers."""

    legal_name: Line | None = None
    country: Country | None = None
    contact: Line | None = None
    eu_representative: Line | None = None
    sme: bool | None = None
    cards_uri: Annotated[Line, AfterValidator(declared_values.base_address)] | None = None
    """Where the directory that ``report card --publish`` writes is served."""


class Period(_Table):
    """Collection before the log, as ``MM/YYYY``."""

    start: Annotated[Month, Field(alias="from")]
    end: Annotated[Month, Field(alias="to")]

    @model_validator(mode="after")
    def _goes_forward(self) -> Self:
        if (self.start[3:], self.start[:2]) > (self.end[3:], self.end[:2]):
            raise ValueError("ends before it begins: write the earlier month as from")
        return self


class ExclusionList(_Table):
    """A list of sites that are never crawled."""

    name: Line
    version: Line | None = None
    uri: Address | None = None


class Crawler(_Table):
    """``[[crawler]]``: one crawler; names follow the IETF Signature Agent Card where it has them."""

    id: Annotated[str, AfterValidator(declared_values.crawler_id)]
    client_name: Line | None = None
    expected_user_agent: Line | None = None
    rfc9309_product_token: Annotated[str, AfterValidator(declared_values.product_token)] | None = None
    """Of a crawler that no log knows; where the sidecar is configured with tokens, those count."""
    operated_by: Line | None = None
    on_behalf_of: Line | None = None
    purpose_code: Literal["training", "rag_grounding", "search_index", "user_fetch", "research", "other"] | None = None
    purpose: Localised | None = None
    trigger: Literal["crawler", "fetcher"] | None = None
    targeted_content: Localised | None = None
    rate_control: Line | None = None
    rate_expectation: Line | None = None
    rfc9309_compliance: bool | None = None
    known_urls: Lines | None = None
    docs_uri: Address | None = None
    logo_uri: Address | None = None
    ips_uri: Address | None = None
    jwks_uri: Address | None = None
    contacts: Lines | None = None
    how_to_block: Localised | None = None
    captcha_policy: Localised | None = None
    password_policy: Localised | None = None
    paywall_policy: Localised | None = None
    other_protocols: Localised | None = None
    exclusion_lists: Annotated[list[ExclusionList], Field(max_length=LIST_MAX)] | None = None
    content_and_sources: Localised | None = None
    languages: Lines | None = None
    regions: Lines | None = None
    site_types: Localised | None = None
    earlier_period: Period | None = None


class Retention(_Table):
    """``[retention]``: what is kept for how long."""

    days: Annotated[int, Field(ge=1, le=36_525)] | None = None
    statement: Localised | None = None


class EgressControl(_Table):
    """``[egress_control]``: whether the network leaves crawlers no way past the sidecar."""

    forced: bool | None = None
    statement: Localised | None = None


class TrainingUse(_Table):
    """``[[training_use]]``: the attestation that what was collected from sites was, or was not, used for training.

    ``sites`` holds registrable domains; ``*`` is every site without an attestation of its own.
    """

    sites: Annotated[list[Site], Field(min_length=1, max_length=SITES_MAX)]
    status: Literal["included", "excluded", "partial"]
    attested_by: Line
    attested_at: date
    reference: Line | None = None


class JapanItem(_Table):
    """``[[japan.item]]``: what is said of one item of the code.

    ``principle`` and ``key`` say which; an item that is not built in needs a ``title``. ``evidence`` names kinds of
    report; ``basis_mark`` says how its wording is known: F read in the final text, D a draft, U unverified.
    """

    principle: Literal["1", "2", "3"]
    key: Annotated[str, AfterValidator(declared_values.item_key)]
    title: Localised | None = None
    status: Literal["comply", "partial", "explain", "not_applicable"] | None = None
    text: Localised | None = None
    reason_code: (
        Literal["trade_secret", "security", "personal_data", "third_party", "not_collected", "not_applicable", "other"]
        | None
    ) = None
    reason: Localised | None = None
    basis_mark: Literal["F", "D", "U"] | None = None
    evidence: Lines | None = None
    outside_tool: bool | None = None
    omit: bool = False
    """Leaves a built-in item out that the code does not have."""


class Japan(_Table):
    """``[japan]``: the statement under the Principle Code."""

    acceptance: Literal["accepts", "partially", "not"] | None = None
    accepted_at: date | None = None
    signatory: Line | None = None
    role: Literal["developer", "provider", "both"] | None = None
    services: Lines | None = None
    models: Lines | None = None
    code_title: Localised | None = None
    code_version: date | None = None
    code_text_sha256: Digest | None = None
    form_version: date | None = None
    filed_at: date | None = None
    receipt: Line | None = None
    registry_url: Address | None = None
    statement_date: date | None = None
    principle_titles: dict[Literal["1", "2", "3"], Localised] = {}
    """Headings in the words of the code, once they have been read."""
    item: Annotated[list[JapanItem], Field(max_length=TABLES_MAX)] = []
    form: Annotated[dict[Line, Line | bool | int | date], Field(max_length=LIST_MAX)] = {}
    """The fields of the notification form, under whatever names it has: key → value, or → ``item:KEY``."""


class Europe(_Table):
    """``[eu]``: the public summary of training content."""

    template_version: Line | None = None
    summary_version: Line | None = None
    last_update: date | None = None
    update_due: date | None = None
    models: Lines | None = None
    cop_signatory: bool | None = None
    copyright_policy_uri: Address | None = None
    reservation_measures: Localised | None = None
    comments: Localised | None = None


class Declarations(_Table):
    """The whole operator file."""

    operator: Operator = Operator()
    crawler: Annotated[list[Crawler], Field(max_length=TABLES_MAX)] = []
    retention: Retention = Retention()
    egress_control: EgressControl = EgressControl()
    training_use: Annotated[list[TrainingUse], Field(max_length=TABLES_MAX)] = []
    japan: Japan = Japan()
    eu: Europe = Europe()

    def of_crawler(self, name: str) -> Crawler:
        """What is declared of the crawler with this id; nothing where it is not in the file."""
        # Not validated: the log of a stranger may have any id.
        return next((one for one in self.crawler if one.id == name), None) or Crawler.model_construct(id=name)

    def training_use_of(self, site: str) -> TrainingUse | None:
        """The attestation about a site: one that names it, else one for ``*``."""
        named = (one for one in self.training_use if site in one.sites)
        return next(named, None) or next((one for one in self.training_use if "*" in one.sites), None)


def keys(model: type[BaseModel] = Declarations, table: tuple[str, ...] = ()) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Every table of the file (its names from the top, without numbers) with the keys it may have, in order."""
    made = {table: tuple(info.alias or name for name, info in model.model_fields.items())}
    for name, info in model.model_fields.items():
        for inner in _models(info.annotation):
            made |= keys(inner, (*table, info.alias or name))
    return made


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The tables inside an annotation such as ``list[Crawler] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in typing.get_args(annotation) for model in _models(inner)]


def read(path: str | None) -> Declarations:
    """The declarations in the TOML file ``path``; raises ConfigurationError where it is not understood."""
    if path is None:
        return Declarations()
    content = _content(path)
    try:
        made = Declarations.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        said = declaration_errors.sentence(first, content, keys())
        raise ConfigurationError(f"The operator file {path}: {said}.".replace("?.", "?")) from error
    _refuse_twice(path, "[[crawler]] with the id", (one.id for one in made.crawler))
    _refuse_twice(path, "[[japan.item]] of principle and key", ((one.principle, one.key) for one in made.japan.item))
    _refuse_twice(path, "[[training_use]] of the site", (site for one in made.training_use for site in one.sites))
    return made


def _content(path: str) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            octets = file.read(FILE_MAX + 1)
        if len(octets) > FILE_MAX:
            raise ConfigurationError(f"The operator file {path} is larger than 1 MiB: shorten it.")
        return tomllib.loads(octets.decode("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"The operator file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"The operator file {path} is not UTF-8: save it as UTF-8 text.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"The operator file {path} is not TOML: {first_line(error)}.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"The operator file {path} cannot be read: a number in it is too long, or its lists are nested too deeply."
        ) from error


def _refuse_twice(path: str, what: str, names: Iterable[Hashable]) -> None:
    seen = set()
    for name in names:
        if name in seen:
            said = " ".join(name) if isinstance(name, tuple) else name
            raise ConfigurationError(f"The operator file {path} has two {what} {said}: keep one.")
        seen.add(name)
