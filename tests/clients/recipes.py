"""How each client is told of the proxy and of the CA: the commands that are run, and the words that document them."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

SCRIPTS = Path(__file__).parent / "scripts"
ENVIRONMENTS = Path(__file__).resolve().parents[2] / ".venv-clients"
CHROMIUM = "/usr/bin/chromium"
STORE_PASSWORD = "changeit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one run of a client is given."""

    proxy: str
    ca: Path
    bundle: Path
    directory: Path
    urls: tuple[str, ...]
    proper: bool = True  # as documented; else with the variables of the environment alone
    trusts: bool = True

    def variables(self) -> dict[str, str]:
        """The variables that many clients take their proxy from; curl reads http_proxy in small letters only."""
        return dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), self.proxy)

    def explicit(self) -> dict[str, str]:
        """For the programs in ``scripts`` that set the proxy in code; the variables alone where not ``proper``."""
        return {"CRAWLER_PROXY": self.proxy} if self.proper else self.variables()

    def spki(self) -> str:
        """SHA-256 of the CA's public key, base64, as Chromium's switch wants it."""
        key = x509.load_pem_x509_certificate(self.ca.read_bytes()).public_key()
        info = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(info).digest()).decode("ascii")

    def trust(self, **variables: str) -> dict[str, str]:
        """``variables`` where the CA is to be trusted."""
        return variables if self.trusts else {}


@dataclass(frozen=True, slots=True)
class Command:
    """A command line and what its environment has beside the usual."""

    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One client: what it needs to be told, and how it shows a denied page."""

    name: str
    proxy: str
    trust: str
    denied: str
    shows: str  # what stands in its output then, a regular expression with {url}
    command: Callable[[Job], Command]
    version: list[str]
    needs: tuple[str, ...] = ()  # programs, or an environment below ENVIRONMENTS
    no_https: str = ""  # why https does not work, where it does not
    light: bool = False  # part of every test run

    def __str__(self) -> str:
        return self.name

    def missing(self) -> list[str]:
        """What it needs and is not there."""
        return [name for name in self.needs if not (shutil.which(name) or (ENVIRONMENTS / name).exists())]


def run(command: Command, directory: Path, seconds: float = 90) -> str:
    """Run a client and return what it said, whatever its exit code."""
    dropped = ("CRAWL_AUDIT_", "SSL_CERT", "REQUESTS_CA", "CURL_CA", "NODE_", "PYTHONPATH")
    kept = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and not k.startswith(dropped)}
    kept |= {"HOME": str(directory), "NO_COLOR": "1"}
    done = subprocess.run(
        command.arguments,
        cwd=directory,
        env=kept | command.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=seconds,
    )
    return done.stdout.decode("utf-8", "replace")


def _script(name: str) -> str:
    return str(SCRIPTS / name)


def _python(name: str, *, environment: str | None = None) -> list[str]:
    python = sys.executable if environment is None else str(ENVIRONMENTS / environment / "bin" / "python")
    return [python, _script(name)]


def _curl(job: Job) -> Command:
    trusted = ["--cacert", str(job.ca)] if job.trusts else []
    shown = ["-sS", "-o", "/dev/null", "-w", "%{http_code} %{url}\\n"]
    outputs = [part for url in job.urls[1:] for part in ("-o", "/dev/null", url)]
    return Command(["curl", *shown, *trusted, job.urls[0], *outputs], job.variables())


def _wget(job: Job) -> Command:
    trusted = [f"--ca-certificate={job.ca}"] if job.trusts else []
    return Command(["wget", "--no-config", "-nv", "--tries=1", "-O/dev/null", *trusted, *job.urls], job.variables())


def _wget2(job: Job) -> Command:
    trusted = [f"--ca-certificate={job.ca}"] if job.trusts else []
    options = ["--no-config", "--no-hsts", "--tries=1", "--timeout=10", "-O/dev/null"]
    return Command(["wget2", *options, *trusted, *job.urls], job.variables())


def _environment_only(script: str, trust: str, job: Job) -> Command:
    return Command([*_python(script), *job.urls], job.variables() | job.trust(**{trust: str(job.bundle)}))


def _aiohttp(job: Job) -> Command:
    how = "trust_env" if job.proper else "plain"
    return Command(
        [*_python("aiohttp_client.py"), how, *job.urls], job.variables() | job.trust(SSL_CERT_FILE=str(job.bundle))
    )


def _scrapy(job: Job) -> Command:
    return Command([*_python("scrapy_client.py"), *job.urls], job.variables())


def _crawlee(job: Job) -> Command:
    return Command(
        [*_python("crawlee_client.py"), *job.urls], job.explicit() | job.trust(SSL_CERT_FILE=str(job.bundle))
    )


def _playwright(job: Job) -> Command:
    chosen = {"CRAWLER_CHROMIUM": CHROMIUM} | job.trust(CRAWLER_SPKI=job.spki())
    return Command([*_python("playwright_client.py"), *job.urls], job.explicit() | chosen)


def _crawl4ai(job: Job) -> Command:
    chosen = {"CRAWLER_CHROMIUM": CHROMIUM, "CRAWL4_AI_BASE_DIRECTORY": str(job.directory)}
    chosen |= job.trust(CRAWLER_SPKI=job.spki())
    return Command([*_python("crawl4ai_client.py", environment="crawl4ai"), *job.urls], job.explicit() | chosen)


def _img2dataset(job: Job) -> Command:
    trusted = job.trust(SSL_CERT_FILE=str(job.bundle)) | {"NO_ALBUMENTATIONS_UPDATE": "1"}
    return Command([*_python("img2dataset_client.py", environment="img2dataset"), *job.urls], job.variables() | trusted)


def _chromium(job: Job) -> Command:
    """One page per process; the CA in the certificate database of the user's home."""
    switches = [
        "--headless",
        "--no-sandbox",
        "--disable-quic",
        "--dump-dom",
        f"--user-data-dir={job.directory}/profile",
    ]
    if job.proper:
        switches.append(f"--proxy-server={job.proxy}")
    if job.trusts:
        nss = job.directory / ".pki" / "nssdb"
        nss.mkdir(parents=True, exist_ok=True)
        database = f"sql:{nss}"
        subprocess.run(["certutil", "-d", database, "-N", "--empty-password"], check=True, capture_output=True)
        add = ["certutil", "-d", database, "-A", "-t", "C,,", "-n", "crawl-audit", "-i", str(job.ca)]
        subprocess.run(add, check=True, capture_output=True)
    each = " ; ".join(f'"$0" "$@" {url!r}' for url in job.urls)
    environment = {} if job.proper else job.variables()
    return Command(["sh", "-c", each, CHROMIUM, *switches], environment)


def _node(job: Job) -> Command:
    how = "dispatcher" if job.proper else "plain"
    script = job.directory / "node_fetch.mjs"
    shutil.copy(_script("node_fetch.mjs"), script)
    return Command(["node", str(script), how, *job.urls], job.variables() | job.trust(NODE_EXTRA_CA_CERTS=str(job.ca)))


def _from_npm(script: str, job: Job, *arguments: str) -> list[str]:
    """A script beside the packages that npm has installed: modules are looked for from where a file lies."""
    place = ENVIRONMENTS / "node" / script
    shutil.copy(_script(script), place)
    return ["node", str(place), *arguments, *job.urls]


def _undici(job: Job) -> Command:
    how = "dispatcher" if job.proper else "plain"
    trusted = job.trust(NODE_EXTRA_CA_CERTS=str(job.ca))
    return Command(_from_npm("node_fetch.mjs", job, how), job.variables() | trusted)


def _crawlee_js(job: Job) -> Command:
    trusted = job.trust(NODE_EXTRA_CA_CERTS=str(job.ca))
    return Command(_from_npm("crawlee_js.mjs", job), job.explicit() | trusted)


def _java(job: Job) -> Command:
    options = []
    if job.proper:
        host, _, port = job.proxy.removeprefix("http://").rpartition(":")
        options = [
            f"-D{scheme}.proxy{what}" for scheme in ("http", "https") for what in (f"Host={host}", f"Port={port}")
        ]
    if job.trusts:
        store = job.directory / "truststore.p12"
        imported = ["-importcert", "-noprompt", "-alias", "crawl-audit", "-file", str(job.ca), "-keystore", str(store)]
        command = ["keytool", *imported, "-storetype", "PKCS12", "-storepass", STORE_PASSWORD]
        if not store.exists():
            subprocess.run(command, check=True, capture_output=True)
        options += [f"-Djavax.net.ssl.trustStore={store}", f"-Djavax.net.ssl.trustStorePassword={STORE_PASSWORD}"]
    environment = {} if job.proper else job.variables()
    return Command(["java", *options, _script("HttpClientProgram.java"), *job.urls], environment)


def _go(how: str, job: Job) -> Command:
    cache = {"GOCACHE": str(job.directory / "go"), "GOFLAGS": "-mod=mod", "GO111MODULE": "off"}
    trusted = job.trust(SSL_CERT_FILE=str(job.bundle))
    return Command(["go", "run", _script("client.go"), how, *job.urls], job.variables() | trusted | cache)


def _python_version(package: str, environment: str | None = None) -> list[str]:
    program = f"import importlib.metadata as m; print(m.version({package!r}))"
    return [*_python("", environment=environment)[:1], "-c", program]


_VARIABLES = "`HTTP_PROXY`, `HTTPS_PROXY`"
_STATUS = "status 403"
_PLAIN = "403 {url}"

RECIPES = (
    Recipe(
        name="curl",
        proxy="`http_proxy` (small letters only), `HTTPS_PROXY`, or `-x URL`",
        trust="`--cacert ca.pem`, or `CURL_CA_BUNDLE` with the bundle",
        denied=f"{_STATUS}; exit code 22 with `--fail`",
        shows=_PLAIN,
        command=_curl,
        version=["curl", "--version"],
        needs=("curl",),
        light=True,
    ),
    Recipe(
        name="wget",
        proxy="`http_proxy`, `https_proxy` (small letters only), or `-e https_proxy=URL`",
        trust="`--ca-certificate=ca.pem`",
        denied="`ERROR 403: Forbidden`, exit code 8",
        shows="ERROR 403",
        command=_wget,
        version=["wget", "--version"],
        needs=("wget",),
        light=True,
    ),
    Recipe(
        name="wget2",
        proxy="`http_proxy`, `https_proxy` (small letters only), or `--https-proxy=URL`",
        trust="`--ca-certificate=ca.pem`",
        denied="`HTTP ERROR response 403`, exit code 8",
        shows="HTTP ERROR response 403",
        command=_wget2,
        version=["wget2", "--version"],
        needs=("wget2",),
        no_https="no: it names the proxy in its TLS handshake (SNI), which is refused (421)",
    ),
    Recipe(
        name="Python urllib",
        proxy=_VARIABLES,
        trust="`SSL_CERT_FILE` with the bundle",
        denied="`HTTPError` with code 403",
        shows=_PLAIN,
        command=partial(_environment_only, "urllib_client.py", "SSL_CERT_FILE"),
        version=[sys.executable, "--version"],
        light=True,
    ),
    Recipe(
        name="requests",
        proxy=f"{_VARIABLES}, or `proxies=`",
        trust="`REQUESTS_CA_BUNDLE` with the bundle, or `verify=`",
        denied=_STATUS,
        shows=_PLAIN,
        command=partial(_environment_only, "requests_client.py", "REQUESTS_CA_BUNDLE"),
        version=_python_version("requests"),
        light=True,
    ),
    Recipe(
        name="httpx",
        proxy=f"{_VARIABLES}, or `proxy=`",
        trust="`SSL_CERT_FILE` with the bundle, or `verify=`",
        denied=_STATUS,
        shows=_PLAIN,
        command=partial(_environment_only, "httpx_client.py", "SSL_CERT_FILE"),
        version=_python_version("httpx"),
        light=True,
    ),
    Recipe(
        name="aiohttp",
        proxy=f"`ClientSession(trust_env=True)` and {_VARIABLES}, or `proxy=`",
        trust="`SSL_CERT_FILE` with the bundle, or `connector=TCPConnector(ssl=…)`",
        denied=_STATUS,
        shows=_PLAIN,
        command=_aiohttp,
        version=_python_version("aiohttp"),
        light=True,
    ),
    Recipe(
        name="Scrapy",
        proxy=f"{_VARIABLES}, or `meta={{'proxy': URL}}`",
        trust="nothing: it verifies no certificate unless told to",
        denied="status 403, which spiders do not see unless they ask for it (`handle_httpstatus_list`)",
        shows=_PLAIN,
        command=_scrapy,
        version=_python_version("scrapy"),
    ),
    Recipe(
        name="Crawlee (Python)",
        proxy="`ProxyConfiguration(proxy_urls=[URL])`",
        trust="`SSL_CERT_FILE` with the bundle",
        denied="403 counts as blocked: set `retry_on_blocked=False` and `max_session_rotations=0`",
        shows=_PLAIN,
        command=_crawlee,
        version=_python_version("crawlee"),
    ),
    Recipe(
        name="Crawlee (JavaScript)",
        proxy="`new ProxyConfiguration({ proxyUrls: [URL] })`",
        trust="nothing: it verifies no certificate unless told to (`ignoreSslErrors: false`)",
        denied="403 counts as blocked: set `retryOnBlocked: false` and `blockedStatusCodes: []`",
        shows=_PLAIN,
        command=_crawlee_js,
        version=["node", "-p", "require('./node_modules/@crawlee/cheerio/package.json').version"],
        needs=("node",),
    ),
    Recipe(
        name="Playwright (Chromium)",
        proxy="`launch(proxy={'server': URL})`",
        trust="certificate database (below), or `--ignore-certificate-errors-spki-list=KEY`",
        denied=_STATUS,
        shows=_PLAIN,
        command=_playwright,
        version=_python_version("playwright"),
        needs=("chromium",),
    ),
    Recipe(
        name="Chromium",
        proxy="`--proxy-server=URL`",
        trust="certificate database of the user (below)",
        denied="shows the problem document",
        shows="Denied by robots.txt",
        command=_chromium,
        version=["chromium", "--version"],
        needs=("chromium", "certutil"),
    ),
    Recipe(
        name="Crawl4AI (browser)",
        proxy="`BrowserConfig(proxy_config={'server': URL})`",
        trust="as Chromium, for example by `extra_args`",
        denied=_STATUS,
        shows=_PLAIN,
        command=_crawl4ai,
        version=_python_version("crawl4ai", "crawl4ai"),
        needs=("crawl4ai", "chromium"),
    ),
    Recipe(
        name="img2dataset",
        proxy=f"{_VARIABLES} (urllib)",
        trust="`SSL_CERT_FILE` with the bundle",
        denied="`HTTP Error 403: Forbidden` in the statistics of its shard",
        shows="HTTP Error 403: Forbidden",
        command=_img2dataset,
        version=_python_version("img2dataset", "img2dataset"),
        needs=("img2dataset",),
    ),
    Recipe(
        name="Node.js fetch",
        proxy=f"undici's `setGlobalDispatcher(new EnvHttpProxyAgent())` and {_VARIABLES}",
        trust="`NODE_EXTRA_CA_CERTS=ca.pem`",
        denied=_STATUS,
        shows=_PLAIN,
        command=_undici,
        version=["node", "--version"],
        needs=("node",),
    ),
    Recipe(
        name="Java HttpClient",
        proxy="`-Dhttps.proxyHost=HOST -Dhttps.proxyPort=PORT`, the same with `http.`",
        trust="`-Djavax.net.ssl.trustStore=FILE`, made with `keytool`",
        denied=_STATUS,
        shows=_PLAIN,
        command=_java,
        version=["java", "--version"],
        needs=("java", "keytool"),
        light=True,
    ),
    Recipe(
        name="Go net/http",
        proxy=f"{_VARIABLES}, with the default transport or `Proxy: http.ProxyFromEnvironment`",
        trust="`SSL_CERT_FILE` with the bundle",
        denied=_STATUS,
        shows=_PLAIN,
        command=partial(_go, "default"),
        version=["go", "version"],
        needs=("go",),
    ),
)


def _no_proxy(job: Job) -> Command:
    curl = _curl(job)
    return Command(curl.arguments, curl.environment | {"no_proxy": "*"})


MISTAKES = {
    "Go: a transport of one's own without `Proxy`": (partial(_go, "own-transport"), ("go",)),
    "`NO_PROXY` that names the site, or `*`": (_no_proxy, ("curl",)),
}
"""Clients that are told of the proxy in the environment and go past it all the same."""


def version_of(recipe: Recipe) -> str:
    """The version, as the client itself or its package says it."""
    place = ENVIRONMENTS / "node" if "node_modules" in " ".join(recipe.version) else SCRIPTS
    done = subprocess.run(recipe.version, cwd=place, capture_output=True, text=True, timeout=60)
    match = re.search(r"[0-9]+(\.[0-9]+)+", done.stdout + done.stderr)
    return match.group() if match else "?"
