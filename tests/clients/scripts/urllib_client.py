"""urllib as it comes: the proxy from the environment, trust from SSL_CERT_FILE."""

# ruff: noqa: T201 -- a program of its own, whose output is read

import sys
import urllib.error
import urllib.request

for url in sys.argv[1:]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            print(answer.status, url)
    except urllib.error.HTTPError as error:
        print(error.code, url)
    except OSError as error:
        print(type(error).__name__, url, error)
