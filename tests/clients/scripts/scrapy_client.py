"""Scrapy with its own robots.txt check off, so that the sidecar's answers are seen; the proxy from the environment."""

# ruff: noqa: T201 -- a program of its own, whose output is read

import sys

import scrapy
from scrapy.crawler import CrawlerProcess


class Shop(scrapy.Spider):
    """Asks for what it is given."""

    name = "shop"
    start_urls = sys.argv[1:]
    handle_httpstatus_list = (403,)

    def parse(self, response: scrapy.http.Response) -> None:
        print(response.status, response.url)


process = CrawlerProcess(
    {
        "ROBOTSTXT_OBEY": False,
        "USER_AGENT": "TestBot/1.0",
        "RETRY_ENABLED": False,
        "DOWNLOAD_DELAY": 0,
        "DOWNLOAD_TIMEOUT": 20,
        "TELNETCONSOLE_ENABLED": False,
        "LOG_LEVEL": "ERROR",
    }
)
process.crawl(Shop)
process.start()
