"""aiohttp, with or without ``trust_env``; trust from SSL_CERT_FILE."""

# ruff: noqa: T201 -- a program of its own, whose output is read

import asyncio
import sys

import aiohttp


async def main(trust_env: bool, urls: list[str]) -> None:
    async with aiohttp.ClientSession(trust_env=trust_env) as session:
        for url in urls:
            try:
                async with session.get(url) as answer:
                    await answer.read()
                    print(answer.status, url)
            except aiohttp.ClientError as error:
                print(type(error).__name__, url, error)


asyncio.run(main(sys.argv[1] == "trust_env", sys.argv[2:]))
