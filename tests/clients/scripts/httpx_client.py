"""httpx as it comes: the proxy from the environment, trust from SSL_CERT_FILE."""

# ruff: noqa: T201 -- a program of its own, whose output is read

import sys

import httpx

with httpx.Client(timeout=20) as client:
    for url in sys.argv[1:]:
        try:
            print(client.get(url).status_code, url)
        except httpx.HTTPError as error:
            print(type(error).__name__, url, error)
