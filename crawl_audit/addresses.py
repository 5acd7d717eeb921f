"""Which addresses a crawler may be led to: the public internet, and what the operator names besides.

``ipaddress.is_global`` alone is not enough: it is true for NAT64, 6to4 and multicast, through which a private address
can be reached or everybody at once (IANA special-purpose address registries, RFC 6890).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_METADATA = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.169.254/32",  # AWS, Azure, Google Cloud, Oracle and others
        "169.254.170.2/32",  # AWS container credentials
        "169.254.170.23/32",  # AWS pod identity
        "fd00:ec2::254/128",  # AWS over IPv6
        "fd00:ec2::23/128",
        "fd20:ce::254/128",  # Google Cloud over IPv6
        "100.100.100.200/32",  # Alibaba Cloud
        "168.63.129.16/32",  # Azure's platform address; a public one
        "192.0.0.192/32",  # Oracle Cloud
    )
)
# Not private by the word of every Python, and none of them a site: most stand for another address.
_NO_SITE = (
    (ipaddress.ip_network("64:ff9b::/96"), "translates to an IPv4 address (NAT64, RFC 6052)"),
    (ipaddress.ip_network("64:ff9b:1::/48"), "translates to an IPv4 address (NAT64, RFC 8215)"),
    (ipaddress.ip_network("2002::/16"), "is a tunnel to an IPv4 address (6to4, RFC 3056)"),
    (ipaddress.ip_network("192.88.99.0/24"), "is a relay of tunnels (6to4, RFC 7526)"),
    (ipaddress.ip_network("2001::/32"), "is a tunnel to an IPv4 address (Teredo, RFC 4380)"),
    (ipaddress.ip_network("3fff::/20"), "is for documentation (RFC 9637)"),
    (ipaddress.ip_network("::/96"), "holds an IPv4 address (RFC 4291 2.5.5.1)"),
)
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # RFC 4291 2.4, all that IANA gives out


def why_refused(text: str, allowed: Sequence[Network] = (), denied: Sequence[Network] = ()) -> str | None:
    """Why no connection may go to the address ``text``, as the end of a sentence; None: it may.

    ``denied`` networks win over ``allowed`` ones.  The metadata services of clouds are never allowed: what they give
    out are the operator's credentials.  What is no plain address (a name, a zone, an octal part) is refused.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "is no address in plain form"
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return "names a network interface of this machine"
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
    if _within(address, _METADATA):
        return "gives out credentials (metadata service of a cloud)"
    if _within(address, denied):
        return "is in a network that the settings deny"
    return None if _within(address, allowed) else _special(address)


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _special(address: Address) -> str | None:
    for matches, said in (
        (address.is_unspecified, "stands for this machine"),
        (address.is_loopback, "stands for this machine"),
        (address.is_link_local, "is link-local"),
        (address.is_multicast, "is a multicast address"),
    ):
        if matches:
            return said
    for network, said in _NO_SITE:
        if address.version == network.version and address in network:
            return said
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return "is not global"
    if not address.is_global or address.is_reserved:
        return "is private or reserved"
    return None
