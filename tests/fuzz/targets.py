"""What must hold for any octets at all: one function for each place where the kernel reads what others wrote.

Driven by coverage in `make fuzz` (tests/fuzz/__main__.py), and by hypothesis wherever the tests run.
"""

from __future__ import annotations

from collections.abc import Callable

from crawl_audit import html_meta, robots, schema, signals, tdmrep
from crawl_audit.errors import RecordError
from crawl_audit.records import Basis, RobotsOutcome, Verdict
from crawl_audit.target import TargetError, parse_target
from crawl_audit.text import is_storable

TOKENS = ("ExampleBot", "AI2Bot")


def split(data: bytes, parts: int) -> list[bytes]:
    """``data`` at its first octets 0xFF, into exactly ``parts`` pieces; 0xFF stands in no UTF-8."""
    pieces = data.split(b"\xff", parts - 1)
    return pieces + [b""] * (parts - len(pieces))


def judging(data: bytes) -> None:
    """A robots.txt and a path: one of two verdicts with a basis that fits, and everything fit for a record."""
    body, path = split(data, 2)
    target = "/" + path.decode("utf-8", "surrogateescape")
    rules = robots.compile_rules(body, TOKENS)
    judgement = robots.evaluate(RobotsOutcome.SUCCESSFUL, rules, target)
    assert judgement == rules.judge(target), "the same question has the same answer"
    assert (judgement.basis is Basis.RULE) == (judgement.rule is not None)
    if judgement.basis in (Basis.NO_RULE, Basis.NO_GROUP, Basis.ROBOTS_TXT):
        assert judgement.verdict is Verdict.ALLOWED
    if judgement.basis is Basis.ERROR:
        assert judgement.verdict is Verdict.DISALLOWED
    if judgement.rule_line is not None:
        assert 1 <= judgement.rule_line <= len(body.splitlines())
    assert all(is_storable(text) for text in (*judgement.group_tokens, judgement.rule or "", judgement.detail or ""))
    for found in signals.robots_signals(body):
        _assert_storable(found)


def targets(data: bytes) -> None:
    """Everything a request says of where it goes: a target that can be recorded, or a refusal in a sentence."""
    host, path, field, sni, port = split(data, 5)
    try:
        target = parse_target(
            scheme="https" if sni else "http",
            host=host.decode("utf-8", "surrogateescape"),
            port=int.from_bytes(port[:2], "big"),
            path=path,
            host_fields=[field] if field else [],
            sni=sni.decode("utf-8", "surrogateescape") or None,
        )
    except TargetError as error:
        refusal: str | None = str(error)
    else:
        refusal = None
    if refusal is not None:
        assert refusal.endswith(".")
        return
    assert is_storable(target.target)
    assert target.target.isascii()
    assert is_storable(target.scope.host)


def entries(data: bytes) -> None:
    """An entry of a log: refused, or the canonical text of exactly one record with exactly one leaf."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        entry = schema.parse_entry(text)
        record = schema.to_record(entry)
    except RecordError:
        return
    salt = bytes.fromhex(entry["salt"]) if "salt" in entry else None
    again = schema.to_object(record, salt)
    # The compressed form of a body is the writer's choice: the digest of what it stands for is in the leaf instead.
    assert schema.leaf(again) == schema.leaf(entry)
    assert schema.parse_entry(schema.canonical(entry)) == entry


def reservations(data: bytes) -> None:
    """A tdmrep.json and a path: no such file, or entries of which one or none is for the path."""
    body, path = split(data, 2)
    found = tdmrep.parse(body)
    for entry in found or ():
        assert all(is_storable(text) for text in (entry.raw, entry.location or "", entry.policy or ""))
    match = tdmrep.reservation_for(found or (), "/" + path.decode("utf-8", "replace"))
    assert match is None or match in (found or ())


def pages(data: bytes) -> None:
    """An HTML page: a bounded number of signals that can be recorded."""
    found = html_meta.html_signals(data, TOKENS)
    assert len(found) <= html_meta.SIGNALS_MAX
    for signal in found:
        _assert_storable(signal)


def fields(data: bytes) -> None:
    """Header fields of an answer: signals that can be recorded."""
    names = sorted(signals._FIELDS)
    lines = [line for line in data.split(b"\n") if line]
    pairs = [(names[line[0] % len(names)], line[1:].decode("utf-8", "surrogateescape")) for line in lines]
    for signal in signals.response_signals(pairs):
        _assert_storable(signal)


def _assert_storable(signal: signals.FoundSignal) -> None:
    assert all(is_storable(text) for text in (signal.raw, signal.value or "", signal.scope or ""))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "judging": judging,
    "targets": targets,
    "entries": entries,
    "reservations": reservations,
    "pages": pages,
    "fields": fields,
}

SEEDS: dict[str, list[bytes]] = {
    "judging": [
        b"User-agent: *\nDisallow: /private\nAllow: /private/*.html$\nCrawl-delay: 5\n\xffprivate/a%2Fb?x=1",
        b"\xef\xbb\xbfUser-agent: ExampleBot, AI2Bot/1.0\r\nDisallow: /*?q=%7e\rContent-Usage: /a search=n\n\xffa?q=~",
    ],
    "targets": [b"a.example\xff/path?query\xffa.example:80\xff\xff\x00\x50", b"[::1]\xff//a\xff[::1]\xffx\xff\x01\xbb"],
    "entries": [],
    "reservations": [b'[{"location": "/a*b$", "tdm-reservation": 1, "tdm-policy": "https://a.example/"}]\xffa/b'],
    "pages": [
        b'<meta name="robots" content="noai"><!-- x --><script></script><link rel=license type=application/rsl+xml>'
    ],
    "fields": [b"\x00train-ai=n\n\x01GPTBot: noindex\n\x03<https://a.example/l>; rel=license\n"],
}
"""Where coverage starts from; those of ``entries`` are the golden ones."""
