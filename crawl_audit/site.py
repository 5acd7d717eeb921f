"""The site (registrable domain) of a host: what reports group by.

Public Suffix List, ICANN part only, so that ``b.github.io`` belongs to ``github.io`` and not to itself
(EU template section 2.3 asks for top and second-level domains).  The list comes with the package
``publicsuffixlist``; its version is in every run record.
"""

from __future__ import annotations

import functools
import importlib.metadata
import ipaddress

from publicsuffixlist import PublicSuffixList


@functools.cache
def _suffixes(*, a_labels: bool) -> PublicSuffixList:
    # Putting every rule into A-labels takes most of the time that an inquiry about one site spends on the list.
    return PublicSuffixList(only_icann=True, accept_encoded_idn=a_labels)


def list_version() -> str:
    """Version of the Public Suffix List in use, for run records and reports."""
    return importlib.metadata.version("publicsuffixlist")


@functools.lru_cache(maxsize=65_536)
def site_of(host: str) -> str:
    """The registrable domain of ``host``; the host itself for an address, a public suffix or a single label."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return _suffixes(a_labels="xn--" in host).privatesuffix(host) or host
