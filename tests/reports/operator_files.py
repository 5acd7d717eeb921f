"""Operator files for tests: the template that `report init` writes with every line of it in use."""

from __future__ import annotations

import re

from reports.log import open_log
from reports.operator_file import template
from tests import logs

# A line that may be used begins with "#" and no space; what explains has one.
_TO_USE = re.compile(r"^#(?=[^ \n])", re.MULTILINE)


def everything(log: logs.LogBuilder | None = None) -> str:
    """The template with all keys in use, for the crawlers of a log or for one that no log has."""
    if log is None:
        return in_use(template())
    with open_log(str(log.root)) as opened:
        return in_use(template(opened))


def in_use(text: str) -> str:
    """A template without the marks that keep its keys out of use."""
    return _TO_USE.sub("", text)
