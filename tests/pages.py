"""Documents with everything a page can hold, in English and Japanese, and a browser to look at them with."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from playwright.sync_api import Browser, sync_playwright

from reports.render import (
    Chart,
    ChartKind,
    Document,
    Facts,
    Figures,
    Lines,
    Paragraph,
    Section,
    Table,
)

HOSTILE = (
    "<script>document.title='run'</script>",
    "</style></title></svg><img src=http://attacker.example/x onerror=alert(1)>",
    "'\"><iframe srcdoc='&lt;p&gt;'>",
    "{{ 7 * 7 }}{% raw %}",
    "var(--good);}*{display:none}",
    "https://site.example/\u202egnp.exe",
    "\x1b[31mred\x00\x07\ud800\ufffe\uffff",
    "مثال.إختبار/صفحة/١٢٣",
    "日本語ドメイン.例え/とても長いパスをもつ頁/" * 6,
    "x" * 3000,
    "&lt;b&gt;&amp;",
    "javascript:alert(1)",
)
"""What strangers may have written into addresses, User-Agents and rules."""

_JA = {
    "Requests": "リクエスト数",
    "Forwarded": "転送",
    "Denied": "拒否",
    "Disallowed but forwarded": "不許可のまま転送",
    "Bytes received": "受信バイト数",
    "decided on in the period": "対象期間に判定した件数",
    "that left for a site": "サイトへ送信した件数",
    "that did not leave": "送信しなかった件数",
    "of the forwarded: see the list": "転送のうち。一覧を参照",
    "octets of response bodies": "応答本文のオクテット数",
    "What it did": "活動の概要",
    "Sites": "サイト",
    "robots.txt over time": "robots.txt の変遷",
    "Coverage": "記録の範囲",
    "What this does not say": "この記録が示さないこと",
    "Operator (as declared)": "運営者（申告に基づく）",
    "Requests by day and verdict": "日別・判定別のリクエスト数",
    "Most requests were allowed; denials cluster in the second week.": (
        "大半は許可されている。拒否は第二週に集中している。"
    ),
    "Day": "日",
    "Verdict": "判定",
    "allowed": "許可",
    "denied": "拒否済み",
    "violation": "違反",
    "Sites by bytes received": "受信バイト数の多いサイト",
    "One site answered with a third of all bytes.": "一つのサイトが全体の三分の一を占める。",
    "Site": "サイト名",
    "Content of answers": "応答の種類",
    "Two thirds of the answers were text.": "応答の三分の二は文章であった。",
    "Kind": "種類",
    "text": "文章",
    "image": "画像",
    "audio": "音声",
    "video": "動画",
    "other": "その他",
    "Answers": "応答数",
    "Versions of robots.txt": "robots.txt の版",
    "Each changed once or twice.": "いずれも一、二度変更された。",
    "Coverage and its gaps": "記録の範囲と欠落",
    "Two gaps, of eleven hours together.": "欠落は二か所、計十一時間。",
    "State": "状態",
    "From": "始まり",
    "To": "終わり",
    "covered": "記録あり",
    "gap": "欠落",
    "first version": "第一版",
    "second version": "第二版",
    "third version": "第三版",
    "all logs": "全記録",
    "Violations by site": "サイト別の違反",
    "First": "最初",
    "Last": "最後",
    "Digest of robots.txt": "robots.txt のダイジェスト",
    "Legal name": "名称",
    "Contact": "連絡先",
    "Exemptions": "例外",
    "not known": "不明",
    "Pages by protocol": "プロトコル別",
    "Crawler activity": "クローラー活動記録",
    "Beispiel Crawling GmbH": "例示クローリング株式会社",
    "2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z": "2026-11-01T00:00:00Z から 2026-12-01T00:00:00Z まで",
    "for regulators, confidential": "規制当局向け・機密",
    "412 requests left before their record was durable (from 2026-11-12T04:10:00Z to 2026-11-12T04:12:30Z); of these"
    " 400 were kept and the others are not in the log.": (
        "412 件のリクエストが、記録の永続化より前に送信された（2026-11-12T04:10:00Z から 2026-11-12T04:12:30Z"
        " まで）。うち 400 件は後から記録され、残りはログにない。"
    ),
    "The record counts what passed the proxy. A request counts as forwarded when it left for the site, whether or not"
    " an answer came.": (
        "本記録はプロキシを通過したものを数える。応答の有無にかかわらず、サイトへ送信されたものを転送とする。"
    ),
    "What was collected is not what was used for training: a crawl log cannot answer that.": (
        "収集されたものと学習に使われたものは同じではない。クロールの記録からは後者を判断できない。"
    ),
    "What went past the proxy is not in the log.": "プロキシを通らなかったものは、ログにない。",
    "A robots.txt says what a site asks of crawlers; it is no licence.": (
        "robots.txt はサイトがクローラーに求めることを示すものであり、許諾ではない。"
    ),
}

_START = datetime(2026, 11, 1, tzinfo=UTC)


def document(language: str = "en", *, days: int = 30) -> Document:
    """Every block and every chart, in the words of ``language``, with what strangers write in between."""

    def say(text: str) -> str:
        return _JA[text] if language == "ja" else text

    figures = Figures(
        (
            (say("Requests"), 1_234_567, say("decided on in the period")),
            (say("Forwarded"), 1_190_004, say("that left for a site")),
            (say("Denied"), 44_563, say("that did not leave")),
            (say("Disallowed but forwarded"), 12, say("of the forwarded: see the list")),
            (say("Bytes received"), 48_213_004_917, say("octets of response bodies")),
        )
    )
    explained = Paragraph(
        say(
            "The record counts what passed the proxy. A request counts as forwarded when it left for the site, whether"
            " or not an answer came."
        )
    )
    violations = Table(
        (say("Site"), say("Disallowed but forwarded"), say("First"), say("Last"), say("Digest of robots.txt")),
        tuple(
            (site, number, "2026-11-09T04:10:00Z", "2026-11-21T16:02:41.123456Z", "9f86d081884c7d65" * 4)
            for site, number in (("news.example", 7), ("例え.テスト", 4), ("مثال.إختبار", 1), (HOSTILE[0], 1_024))
        ),
    )
    facts = Facts(
        (
            (say("Legal name"), say("Beispiel Crawling GmbH")),
            (say("Contact"), "crawler@operator.example"),
            (say("Exemptions"), None),
            (say("Pages by protocol"), {"http": 1_204, "https": 1_233_363}),
            (say("Sites"), ["news.example", "例え.テスト", "مثال.إختبار"]),
            (say("Digest of robots.txt"), "9f86d081884c7d65" * 4),
        )
    )
    closing = (
        "What was collected is not what was used for training: a crawl log cannot answer that.",
        "What went past the proxy is not in the log.",
        "A robots.txt says what a site asks of crawlers; it is no licence.",
    )
    return Document(
        title=say("Crawler activity"),
        subtitle=(
            say("Beispiel Crawling GmbH"),
            say("2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z"),
            say("for regulators, confidential"),
        ),
        notice=say(
            "412 requests left before their record was durable (from 2026-11-12T04:10:00Z to 2026-11-12T04:12:30Z); of"
            " these 400 were kept and the others are not in the log."
        ),
        language=language,
        sections=(
            Section(title=say("What it did"), blocks=(figures, explained, by_day(language, days), kinds(language))),
            Section(title=say("Sites"), blocks=(ranked(language), Paragraph(say("Violations by site")), violations)),
            Section(title=say("robots.txt over time"), blocks=(versions(language), Lines(_ROBOTS))),
            Section(title=say("Coverage"), blocks=(coverage(language),)),
            Section(title=say("Operator (as declared)"), blocks=(facts,)),
            Section(title=say("What this does not say"), blocks=tuple(Paragraph(say(text)) for text in closing)),
        ),
    )


_ROBOTS = (
    "      1  User-agent: *",
    "→     2  Disallow: /private/",
    "      3  Allow: /private/" + "very-long-path/" * 12,
    "      4  # <b>not bold</b> \u202eesrever",
    "      5  ",
)


def _said(language: str, *texts: str) -> tuple[str, ...]:
    return tuple(_JA[text] if language == "ja" else text for text in texts)


def by_day(language: str = "en", days: int = 30) -> Chart:
    """Columns by day."""
    title, says, *header = _said(
        language,
        "Requests by day and verdict",
        "Most requests were allowed; denials cluster in the second week.",
        "Day",
        "Verdict",
        "Requests",
    )
    allowed, denied, violation = _said(language, "allowed", "denied", "violation")
    chance, rows = random.Random(3), []
    for number in range(days):
        day = (_START + timedelta(days=number)).date().isoformat()
        if number in (17, 18):
            continue
        rows.append((day, allowed, 30_000 + chance.randrange(15_000)))
        rows.append((day, denied, chance.randrange(12_000 if 7 <= number < 14 else 2_500)))
        if number in (8, 12, 20):
            rows.append((day, violation, 1_200))
    return Chart(
        kind=ChartKind.DAYS,
        title=title,
        says=says,
        table=Table(tuple(header), tuple(rows)),
        tones=((allowed, "good"), (denied, "neutral"), (violation, "bad")),
    )


def ranked(language: str = "en", count: int = 24) -> Chart:
    """Bars, with names that are long, wide, from right to left, and hostile."""
    title, says, *header = _said(
        language,
        "Sites by bytes received",
        "One site answered with a third of all bytes.",
        "Site",
        "Bytes received",
    )
    names = ["archive.example", "news.example", *HOSTILE, *(f"site-{number}.example" for number in range(count))]
    rows = tuple((name, 16_071_001_639 // (number + 1)) for number, name in enumerate(names[:count]))
    return Chart(kind=ChartKind.RANKED, title=title, says=says, table=Table(tuple(header), rows))


def kinds(language: str = "en") -> Chart:
    """Parts of a whole."""
    title, says, *header = _said(
        language, "Content of answers", "Two thirds of the answers were text.", "Kind", "Answers"
    )
    names = _said(language, "text", "image", "other", "video", "audio")
    rows = tuple(zip(names, (812_004, 301_220, 71_003, 5_411, 366), strict=True))
    return Chart(kind=ChartKind.SHARES, title=title, says=says, table=Table(tuple(header), rows))


def versions(language: str = "en") -> Chart:
    """A time line of versions."""
    title, says, *header = _said(
        language, "Versions of robots.txt", "Each changed once or twice.", "Site", "State", "From", "To"
    )
    first, second, third = _said(language, "first version", "second version", "third version")
    rows = (
        ("https://news.example", first, "2026-11-01T00:12:00Z", "2026-11-11T08:00:00Z"),
        ("https://news.example", second, "2026-11-11T08:00:00Z", "2026-11-24T15:30:00Z"),
        ("https://news.example", third, "2026-11-24T15:30:00Z", None),
        ("https://例え.テスト", first, "2026-11-03T01:00:00Z", "2026-11-19T22:10:00Z"),
        ("https://例え.テスト", second, "2026-11-19T22:10:00Z", "2026-11-30T23:00:00Z"),
        ("https://مثال.إختبار", first, "2026-11-07T00:00:00Z", "2026-11-28T00:00:00Z"),
    )
    return Chart(kind=ChartKind.SPANS, title=title, says=says, table=Table(tuple(header), rows))


def coverage(language: str = "en") -> Chart:
    """A time line of coverage."""
    title, says, *header = _said(
        language, "Coverage and its gaps", "Two gaps, of eleven hours together.", "Site", "State", "From", "To"
    )
    covered, gap, everything = _said(language, "covered", "gap", "all logs")
    rows = (
        (everything, covered, "2026-11-01T00:00:00Z", "2026-11-12T04:10:00Z"),
        (everything, covered, "2026-11-12T13:10:00Z", "2026-11-25T02:00:00Z"),
        (everything, covered, "2026-11-25T04:00:00Z", "2026-12-01T00:00:00Z"),
        (everything, gap, "2026-11-12T04:10:00Z", "2026-11-12T13:10:00Z"),
        (everything, gap, "2026-11-25T02:00:00Z", "2026-11-25T04:00:00Z"),
        ("node1-20261101T000000Z-00000001", covered, "2026-11-01T00:00:00Z", "2026-11-12T04:10:00Z"),
        ("node1-20261112T131000Z-00000002", covered, "2026-11-12T13:10:00Z", "2026-11-25T02:00:00Z"),
        ("node2-20261125T040000Z-00000003", covered, "2026-11-25T04:00:00Z", "2026-12-01T00:00:00Z"),
    )
    return Chart(
        kind=ChartKind.SPANS,
        title=title,
        says=says,
        table=Table(tuple(header), rows),
        tones=((covered, "good"), (gap, "bad")),
    )


@contextmanager
def chromium() -> Iterator[Browser]:
    """A real browser.  While it is open the thread has a running event loop: keep it to one test module."""
    path = shutil.which("chromium")
    assert path is not None, "The tests of pages need Debian's package `chromium` (and `fonts-noto-cjk`): install both."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
