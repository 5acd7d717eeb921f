"""Every option that mitmproxy 12.2.3 has with the addons we load: its type, its default, and what we decided about it.

``pinned`` options are set to a value of ours and asserted at the start (proxy_addon/master.py).  ``set`` ones get a
value from the settings.  ``left`` ones stay as they are, for the reason given.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Option(NamedTuple):
    """One option as mitmproxy declares it, and our decision."""

    type: str
    default: Any
    decision: str


TEXTS = "Sequence[str]"
TEXT = "str | None"

OPTIONS = {
    "add_upstream_certs_to_client_chain": Option("bool", False, "pinned"),
    "allow_hosts": Option(TEXTS, [], "pinned"),
    "block_global": Option("bool", True, "pinned"),
    "block_private": Option("bool", False, "pinned"),
    "body_size_limit": Option(TEXT, None, "pinned"),
    "cert_passphrase": Option(TEXT, None, "left: the CA's key is not encrypted, its directory is what protects it"),
    "certs": Option(TEXTS, [], "pinned"),
    "ciphers_client": Option(TEXT, None, "left: OpenSSL's defaults are newer than a list of ours would be"),
    "ciphers_server": Option(TEXT, None, "left: as for clients"),
    "client_certs": Option(TEXT, None, "pinned"),
    "confdir": Option("str", "~/.mitmproxy", "set"),
    "connect_addr": Option(TEXT, None, "left: the routing table decides from which address sites are reached"),
    "connection_strategy": Option("str", "eager", "pinned"),
    "content_view_lines_cutoff": Option("int", 512, "left: nothing is shown"),
    "http2": Option("bool", True, "pinned"),
    "http2_ping_keepalive": Option("int", 58, "left: no HTTP/2"),
    "http3": Option("bool", True, "pinned"),
    "http_connect_send_host_header": Option("bool", True, "left: for upstream proxies, of which there is none"),
    "ignore_hosts": Option(TEXTS, [], "pinned"),
    "keep_host_header": Option("bool", False, "left: for reverse mode"),
    "key_size": Option("int", 2048, "left: for a CA that mitmproxy makes, which never happens (proxy_addon/ca.py)"),
    "listen_host": Option("str", "", "set"),
    "listen_port": Option("int | None", None, "set"),
    "mode": Option(TEXTS, ["regular"], "pinned"),
    "normalize_outbound_headers": Option("bool", True, "pinned"),
    "protobuf_definitions": Option(TEXT, None, "left: nothing is shown"),
    "proxy_debug": Option("bool", False, "left: logs more, changes nothing"),
    "rawtcp": Option("bool", True, "pinned"),
    "request_client_cert": Option("bool", False, "pinned"),
    "server": Option("bool", True, "left: whether it listens, which is asserted by asking where"),
    "show_ignored_hosts": Option("bool", False, "left: no host is ignored"),
    "showhost": Option("bool", False, "left: nothing is shown"),
    "ssl_insecure": Option("bool", False, "pinned"),
    "ssl_verify_upstream_trusted_ca": Option(TEXT, None, "set"),
    "ssl_verify_upstream_trusted_confdir": Option(TEXT, None, "pinned"),
    "store_streamed_bodies": Option("bool", False, "pinned"),
    "stream_large_bodies": Option(TEXT, None, "pinned"),
    "tcp_hosts": Option(TEXTS, [], "pinned"),
    "tcp_timeout": Option("int", 600, "set"),
    "tls_ecdh_curve_client": Option(TEXT, None, "left: OpenSSL's default"),
    "tls_ecdh_curve_server": Option(TEXT, None, "left: OpenSSL's default"),
    "tls_version_client_max": Option("str", "UNBOUNDED", "left: the newer the better"),
    "tls_version_client_min": Option("str", "TLS1_2", "pinned"),
    "tls_version_server_max": Option("str", "UNBOUNDED", "left: the newer the better"),
    "tls_version_server_min": Option("str", "TLS1_2", "pinned"),
    "udp_hosts": Option(TEXTS, [], "pinned"),
    "upstream_cert": Option("bool", True, "pinned"),
    "validate_inbound_headers": Option("bool", True, "pinned"),
    "websocket": Option("bool", True, "pinned"),
}
