"""A small, fast origin server for benchmarks: one 10 kB page for all paths, 5 MB below /large/, http or https."""

from __future__ import annotations

import argparse
import asyncio
import functools
import ssl
from pathlib import Path

import trustme

_ROBOTS = b"User-agent: *\nDisallow: /private/\n"
_PAGE = b"x" * 10_000


def _answer(body: bytes, media_type: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (media_type, len(body))
    return head + body


_LARGE_ANSWER = _answer(b"x" * 5_000_000, b"application/octet-stream")
_PAGE_ANSWER = _answer(_PAGE, b"text/html")
_ROBOTS_ANSWER = _answer(_ROBOTS, b"text/plain")


def _answer_to(line: bytes) -> bytes:
    if b" /robots.txt " in line:
        return _ROBOTS_ANSWER
    return _LARGE_ANSWER if b" /large/" in line else _PAGE_ANSWER


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(_answer_to(head.partition(b"\r\n")[0]))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


class _Certificates:
    """A certificate for each loopback address a client came to: 127.x.y.z are thousands of sites without set-up."""

    def __init__(self, ca: trustme.CA) -> None:
        self._ca = ca

    @functools.lru_cache(maxsize=4096)  # noqa: B019 - one object for the life of the process
    def context(self, host: str) -> ssl.SSLContext:
        """A server context for this address."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._ca.issue_cert(host).configure_cert(context)
        return context


async def _main(ca: Path) -> None:
    certificates = _Certificates(trustme.CA.from_pem(ca.read_bytes(), ca.with_suffix(".key").read_bytes()))

    async def serve_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await writer.start_tls(certificates.context(writer.get_extra_info("sockname")[0]))
        except (OSError, ssl.SSLError):
            writer.close()
            return
        await _serve(reader, writer)

    plain = await asyncio.start_server(_serve, "0.0.0.0", 0, backlog=1024)
    tls = await asyncio.start_server(serve_tls, "0.0.0.0", 0, backlog=1024)
    print(plain.sockets[0].getsockname()[1], tls.sockets[0].getsockname()[1], flush=True)
    await asyncio.gather(plain.serve_forever(), tls.serve_forever())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ca", type=Path, help="PEM file of a certificate authority, with its key beside it as .key")
    asyncio.run(_main(parser.parse_args().ca))
