"""Playwright with Debian's Chromium: the proxy from ``launch(proxy=...)``, trust of the CA's key by a switch."""

# ruff: noqa: T201 -- a program of its own, whose output is read

import os
import sys

from playwright.sync_api import Error, sync_playwright

proxy, key = os.environ.get("CRAWLER_PROXY"), os.environ.get("CRAWLER_SPKI")
switches = ["--disable-quic", *([f"--ignore-certificate-errors-spki-list={key}"] if key else [])]
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
        executable_path=os.environ["CRAWLER_CHROMIUM"],
        proxy={"server": proxy} if proxy else None,
        args=switches,
        chromium_sandbox=False,
    )
    page = browser.new_page()
    for url in sys.argv[1:]:
        try:
            answer = page.goto(url, timeout=20_000)
            print(answer.status if answer else None, url)
        except Error as error:
            print("Error", url, error.message.splitlines()[0])
    browser.close()
