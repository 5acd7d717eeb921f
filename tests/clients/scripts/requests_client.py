"""requests as it comes: the proxy from the environment, trust from REQUESTS_CA_BUNDLE."""

# ruff: noqa: T201 -- a program of its own, whose output is read

import sys

import requests

for url in sys.argv[1:]:
    try:
        print(requests.get(url, timeout=20).status_code, url)
    except requests.RequestException as error:
        print(type(error).__name__, url, error)
