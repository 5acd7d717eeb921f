"""Octets as they came over the wire to the body they stand for, never holding more than a bound.

A hostile answer of 1 KiB can stand for 1 GiB (a decompression bomb), so each decoder is asked for no more than is
still wanted and is dropped as soon as it has given that.
"""

from __future__ import annotations

import zlib
from typing import Protocol

import brotli  # type: ignore[import-untyped]

# Compressed text is smaller than the text.  What sends this much and still has not filled the body is not text but an
# attempt to keep us reading (empty deflate blocks, empty gzip members).
_WIRE_SLACK_BYTES = 64 * 1024
_GZIP_MAGIC = b"\x1f\x8b"


class CodingError(ValueError):
    """The octets are not what Content-Encoding says; the text is one sentence."""


class _Decoder(Protocol):
    def feed(self, octets: bytes, wanted: int) -> bytes:
        """Decode more octets: about ``wanted`` at most, none only where there are none yet."""

    def whole(self) -> bool:
        """Whether the coded stream came to its end."""


class BoundedBody:
    """Collects one answer's body, decoded, up to ``limit`` octets.

    ``feed`` the octets as they arrive and stop reading as soon as ``truncated`` is true; then ``finish``.  Both raise
    CodingError for octets that are not of the declared coding, so half a file never passes for a whole one.
    """

    def __init__(self, content_encoding: str | None, limit: int) -> None:
        self._decoder = _decoder_for(content_encoding)
        self._limit = limit
        self._wire_bytes = 0
        self._kept = bytearray()
        self.truncated = False

    @property
    def body(self) -> bytes:
        """What has been decoded so far, at most ``limit`` octets."""
        return bytes(self._kept)

    def feed(self, octets: bytes) -> None:
        """Take the next octets from the wire."""
        self._wire_bytes += len(octets)
        while not self.truncated:
            # One octet more than is kept tells a body of exactly the limit from a longer one.
            wanted = self._limit + 1 - len(self._kept)
            decoded = self._decoder.feed(octets, wanted)
            self._kept += decoded
            if len(self._kept) > self._limit:
                del self._kept[self._limit :]
                self.truncated = True
            if not decoded:
                break
            octets = b""
        if not self.truncated and self._wire_bytes > self._limit + _WIRE_SLACK_BYTES:
            raise CodingError("The body takes more octets coded than decoded.")

    def finish(self) -> None:
        """Assert that the coded stream was whole; a body cut at the limit needs no end, an empty one has none."""
        if not self.truncated and self._wire_bytes and not self._decoder.whole():
            raise CodingError("The coded body ends before its end mark.")


def _decoder_for(content_encoding: str | None) -> _Decoder:
    coding = (content_encoding or "identity").strip().lower()
    match coding:
        case "identity" | "":
            return _Identity()
        case "gzip" | "x-gzip":
            return _Gzip()
        case "deflate":
            return _Deflate()
        case "br":
            return _Brotli()
    raise CodingError(f"The content coding {coding[:100]!r} is not one that is read here.")


class _Identity:
    def feed(self, octets: bytes, wanted: int) -> bytes:
        return octets[:wanted]

    def whole(self) -> bool:
        return True


class _Gzip:
    """RFC 1952: one member after the other; zero padding or other octets after the last one are ignored."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(wbits=31)
        self._pending = b""

    def feed(self, octets: bytes, wanted: int) -> bytes:
        self._pending += octets
        while self._pending:
            if self._inflater.eof:
                if not _GZIP_MAGIC.startswith(self._pending[:2]):
                    self._pending = b""  # not another member
                    break
                if len(self._pending) < len(_GZIP_MAGIC):
                    break
                self._inflater = zlib.decompressobj(wbits=31)
            decoded = _inflate(self._inflater, self._pending, wanted)
            self._pending = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            if decoded:
                return decoded
        return b""

    def whole(self) -> bool:
        return self._inflater.eof


class _Deflate:
    """RFC 9110 8.4.1.2 says zlib format; some servers send bare deflate, told apart by the first two octets."""

    def __init__(self) -> None:
        self._inflater: zlib._Decompress | None = None
        self._pending = b""

    def feed(self, octets: bytes, wanted: int) -> bytes:
        self._pending += octets
        if self._inflater is None:
            if len(self._pending) < 2:
                return b""
            first, second = self._pending[:2]
            is_zlib = first & 0x0F == 8 and (first << 8 | second) % 31 == 0  # RFC 1950 2.2
            self._inflater = zlib.decompressobj(wbits=15 if is_zlib else -15)
        decoded = _inflate(self._inflater, self._pending, wanted)
        self._pending = self._inflater.unconsumed_tail
        return decoded

    def whole(self) -> bool:
        return self._inflater is not None and self._inflater.eof


class _Brotli:
    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    def feed(self, octets: bytes, wanted: int) -> bytes:
        if self._decompressor.is_finished():
            return b""
        try:
            return bytes(self._decompressor.process(octets, output_buffer_limit=wanted))
        except brotli.error as error:
            raise CodingError("The body is not Brotli as declared.") from error

    def whole(self) -> bool:
        return bool(self._decompressor.is_finished())


def _inflate(inflater: zlib._Decompress, octets: bytes, wanted: int) -> bytes:
    try:
        return inflater.decompress(octets, wanted)
    except zlib.error as error:
        raise CodingError("The body is not compressed as declared.") from error
