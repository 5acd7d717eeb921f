"""No address leads a crawler into the operator's own network unless the operator says so."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawl_audit.addresses import why_refused

# Threat T13 of the threat model, and what else translates to such an address.
REFUSED = """
    127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 100.127.255.255
    169.254.0.1 169.254.169.254 169.254.170.2 192.0.0.192 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.1 203.0.113.1
    224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 168.63.129.16 100.100.100.200
    :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 100::1
    2001::1 2001:db8::1 2002:7f00:1:: 2002:808:808:: 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fd00::1 fe80::1 fe80::1%eth0
    fec0::1 ff02::1 ff0e::1
""".split()
ALLOWED = "8.8.8.8 1.1.1.1 93.184.216.34 2606:4700::1111 2a00:1450::1 ::ffff:8.8.8.8".split()


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_public_is_refused(text: str) -> None:
    assert why_refused(text)


@pytest.mark.parametrize("text", ALLOWED)
def test_public_addresses_are_not(text: str) -> None:
    assert why_refused(text) is None


@pytest.mark.parametrize(
    "text", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "", "8.8.8.8 ", "[::1]"]
)
def test_odd_spellings_are_no_addresses(text: str) -> None:
    assert why_refused(text) == "is no address in plain form"


def test_a_network_can_be_allowed_and_a_part_of_it_denied_again() -> None:
    allowed, denied = [ipaddress.ip_network("10.1.0.0/16")], [ipaddress.ip_network("10.1.2.0/24")]
    assert why_refused("10.1.0.1", allowed, denied) is None
    assert why_refused("::ffff:10.1.0.1", allowed, denied) is None
    assert why_refused("10.1.2.3", allowed, denied)
    assert why_refused("10.2.0.1", allowed, denied)
    assert why_refused("8.8.8.8", allowed, [ipaddress.ip_network("8.0.0.0/8")])


def test_metadata_services_stay_refused_whatever_is_allowed() -> None:
    everything = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
    assert why_refused("127.0.0.1", everything) is None
    for text in ("169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "168.63.129.16"):
        assert "credentials" in str(why_refused(text, everything))


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_that_python_calls_private_is_let_through(address: ipaddress.IPv4Address) -> None:
    if why_refused(str(address)) is None:
        assert address.is_global and not address.is_multicast and not address.is_private


@given(st.ip_addresses(v=4))
def test_an_address_inside_an_ipv6_address_is_judged_like_itself_or_refused(address: ipaddress.IPv4Address) -> None:
    if why_refused(str(address)):
        number = int(address)
        for prefix in (0xFFFF << 32, 0, 0x64FF9B << 96, 0xFFFF << 48):
            assert why_refused(str(ipaddress.IPv6Address(prefix | number)))
        assert why_refused(str(ipaddress.IPv6Address((0x2002 << 112) | (number << 80))))
