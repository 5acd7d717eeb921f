"""Exceptions of the network told in a word and a sentence."""

from __future__ import annotations

import socket
import ssl

import h11
import httpx
import pytest

from crawl_audit.text import is_storable
from proxy_addon.network_fault import SITE_FAULTS, explain
from proxy_addon.site_connection import ConnectFault, ConnectTimeout


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (caused(ConnectFault("x"), socket.gaierror(-2, "Name or service not known")), "dns_failed"),
        (caused(ConnectFault("x"), ConnectionRefusedError()), "connection_refused"),
        (
            caused(ConnectFault("x"), ExceptionGroup("", [OSError(1, "x"), PermissionError("private")])),
            "egress_denied",
        ),
        (caused(ConnectFault("x"), ssl.SSLError(1, "handshake failure")), "tls_failed"),
        (caused(ConnectTimeout("x"), ssl.SSLWantReadError()), "timeout"),
        (ConnectFault("All connection attempts failed"), "connection_failed"),
        (ConnectionResetError(""), "connection_lost"),
        (h11.RemoteProtocolError("illegal status line"), "protocol_error"),
        (httpx.InvalidURL("Invalid port"), "bad_url"),
        (UnicodeError("label too long"), "bad_url"),
        (ExceptionGroup("", [OSError("x")]), "connection_lost"),
    ],
)
def test_the_most_telling_cause_gives_the_word(error: Exception, word: str) -> None:
    assert isinstance(error, SITE_FAULTS)
    text = explain(error)
    assert text.startswith(word + ": ")
    assert text.endswith(".")


def test_a_fault_while_the_body_is_read_is_an_incomplete_body() -> None:
    assert explain(ConnectionResetError("reset"), reading_body=True).startswith("incomplete_body: ")


def test_what_a_server_wrote_into_the_message_is_fit_for_the_record() -> None:
    text = explain(h11.RemoteProtocolError("illegal \x1b[31m\udcff" + "x" * 10_000))
    assert is_storable(text)
    assert len(text) <= 500


def test_a_circle_of_causes_ends() -> None:
    error = ConnectFault("x")
    error.__context__ = caused(OSError("y"), error)
    assert explain(error).startswith("connection_failed: ")
