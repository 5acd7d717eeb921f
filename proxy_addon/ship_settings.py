"""The settings of shipping: which object store sealed segments go to, how they lie there, how long they stay here."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from crawl_audit import object_address
from crawl_audit.errors import ConfigurationError
from proxy_addon.policy_settings import Section
from proxy_addon.ship_options import ShipOptions

Seconds = Annotated[float, Field(gt=0, le=3600)]


class LockMode(StrEnum):
    """How Amazon S3 Object Lock holds what was put: past whoever has a special right, or past everybody."""

    GOVERNANCE = "governance"
    COMPLIANCE = "compliance"


class Encryption(StrEnum):
    """What the object store encrypts with."""

    AES256 = "AES256"
    KMS = "aws:kms"


class ShipSettings(Section):
    """Where sealed segments, checkpoints and receipts are shipped; credentials come from the environment (AWS_*)."""

    url: str | None = Field(None, description="address of the fleet's logs, s3://bucket/prefix; without it, nothing is")
    keep_local_h: Annotated[float, Field(ge=1, le=24 * 3660)] | None = Field(
        None, description="hours a segment stays here after its remote copy was verified; without it, for ever"
    )
    spool_mib: Annotated[int, Field(ge=1)] = Field(
        10_240, description="what may wait here to be shipped before it is warned of; nothing is deleted"
    )
    drain_timeout_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        20, description="time shipping gets at a stop; the rest is shipped after the next start"
    )
    checkpoint_interval_s: Seconds = Field(60, description="least time between two shipments of changed checkpoints")
    request_timeout_s: Seconds = Field(30, description="longest wait for an answer, for each 16 MiB of it")
    retry_first_s: Seconds = Field(1, description="pause after a first failure; doubled with each that follows")
    retry_longest_s: Seconds = Field(300, description="longest pause between two attempts")
    object_lock_mode: LockMode | None = Field(
        None, description="Object Lock the bucket must put on what arrives: governance or compliance; it is checked"
    )
    object_lock_days: Annotated[int, Field(ge=1, le=36_500)] | None = Field(
        None, description="for how many days at least"
    )
    server_side_encryption: Encryption | None = Field(
        None, description="encryption asked for with each object: AES256 or aws:kms; without it, the bucket's own"
    )
    kms_key_id: str | None = Field(None, description="key for aws:kms; without it, the account's own")

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        try:
            return url if url is None else str(object_address.parse(url))
        except ConfigurationError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.object_lock_mode is None) != (self.object_lock_days is None):
            raise ValueError("object_lock_mode and object_lock_days belong together: how, and for how long")
        if self.kms_key_id is not None and self.server_side_encryption is not Encryption.KMS:
            raise ValueError('kms_key_id goes with server_side_encryption = "aws:kms"')
        if self.retry_first_s > self.retry_longest_s:
            raise ValueError("retry_first_s is longer than retry_longest_s")
        if self.url is None and self.model_fields_set - {"url"}:
            raise ValueError("url is missing: s3://bucket/prefix")
        return self

    def options(self) -> ShipOptions | None:
        """These settings for the process that ships; None where nothing is shipped."""
        if self.url is None:
            return None
        return ShipOptions(
            url=self.url,
            keep_local_s=None if self.keep_local_h is None else self.keep_local_h * 3600,
            spool_bytes=self.spool_mib * 2**20,
            checkpoint_interval_s=self.checkpoint_interval_s,
            retry_first_s=self.retry_first_s,
            retry_longest_s=self.retry_longest_s,
            request_timeout_s=self.request_timeout_s,
            object_lock_mode=self.object_lock_mode,
            object_lock_days=self.object_lock_days or 0,
            server_side_encryption=self.server_side_encryption,
            kms_key_id=self.kms_key_id,
        )
