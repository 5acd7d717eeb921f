"""An address of an object store names a bucket and a prefix, and nothing that could be a secret or lead elsewhere."""

from __future__ import annotations

import pytest

from crawl_audit.errors import ConfigurationError
from crawl_audit.object_address import ObjectAddress, is_object_address, parse


@pytest.mark.parametrize(
    "text,bucket,prefix,shown",
    [
        ("s3://audit-logs", "audit-logs", "", "s3://audit-logs"),
        ("s3://audit-logs/", "audit-logs", "", "s3://audit-logs"),
        ("s3://a.b.c/fleet", "a.b.c", "fleet", "s3://a.b.c/fleet"),
        ("s3://abc/fleet/eu-1/", "abc", "fleet/eu-1", "s3://abc/fleet/eu-1"),
    ],
)
def test_bucket_and_prefix_are_read_and_shown(text: str, bucket: str, prefix: str, shown: str) -> None:
    address = parse(text)
    assert (address.bucket, address.prefix, str(address)) == (bucket, prefix, shown)
    assert parse(str(address)) == address


@pytest.mark.parametrize(
    "text,says",
    [
        ("", "is not an address"),
        ("/var/log", "is not an address"),
        ("S3://bucket/x", "is not an address"),
        ("https://bucket/x", "is not an address"),
        ("s3://", "names no bucket"),
        ("s3:///prefix", "names no bucket"),
        ("s3://ab", "names no bucket"),
        ("s3://Bucket", "names no bucket"),
        ("s3://a..b", "names no bucket"),
        ("s3://-abc", "names no bucket"),
        ("s3://" + "a" * 64, "names no bucket"),
        ("s3://key:secret@bucket/x", "credentials and the endpoint come from the environment"),
        ("s3://bucket:9000/x", "credentials and the endpoint come from the environment"),
        ("s3://bucket/x?versionId=1", "has a query"),
        ("s3://bucket/x#y", "has a query"),
        ("s3://bucket//x", "is not one"),
        ("s3://bucket/x//y", "is not one"),
        ("s3://bucket/..", "is not one"),
        ("s3://bucket/a/../b", "is not one"),
        ("s3://bucket/a/./b", "is not one"),
        ("s3://bucket/a b", "is not one"),
        ("s3://bucket/a\nb", "is not one"),
        ("s3://bucket/a%2e%2e", "is not one"),
        ("s3://bucket/" + "a" * 513, "is not one"),
    ],
    ids=range(24),
)
def test_anything_else_is_refused_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        parse(text)
    said = str(caught.value)
    assert "secret" not in said and said.isascii() | ("…" in said) and "\n" not in said and said.endswith(".")


def test_keys_are_below_the_prefix_and_back() -> None:
    address = parse("s3://bucket/fleet/eu")
    assert address.key("segments/x") == "fleet/eu/segments/x"
    assert address.relative("fleet/eu/segments/x") == "segments/x"
    assert address.below("fleet") == ObjectAddress(bucket="bucket", prefix="fleet/eu/fleet")
    bare = parse("s3://bucket")
    assert (bare.key("a/b"), bare.relative("a/b"), str(bare.below("x"))) == ("a/b", "a/b", "s3://bucket/x")
    for elsewhere in ("fleet/eux/a", "fleet", "other"):
        with pytest.raises(ConfigurationError, match="does not lie below"):
            address.relative(elsewhere)


@pytest.mark.parametrize("text,expected", [("s3://b", True), ("S3://b", True), ("s3:/b", False), ("./s3", False)])
def test_an_address_is_told_from_a_directory(text: str, expected: bool) -> None:
    assert is_object_address(text) is expected
