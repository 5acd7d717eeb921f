"""The architecture as a test: which package may import what, where each test lies, how long a function may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("crawl_audit", "proxy_addon", "reports")
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 400

# The kernel's standard library: what computes.  Nothing that reads a clock, a file, a socket or the environment.
KERNEL_STDLIB = set(
    "__future__ base64 binascii bisect collections dataclasses datetime email enum functools hashlib hmac html"
    " importlib ipaddress itertools json math re string types typing unicodedata urllib zlib".split()
)
# Parts of allowed packages that do more than compute.
KERNEL_STDLIB_REFUSED = {"urllib.request", "importlib.resources"}
# Every distribution that is not everybody's to import: module -> the files that may.
ONLY_IN = {
    "protego": {"crawl_audit/robots.py"},
    "cryptography": {
        "crawl_audit/seal.py",
        "crawl_audit/note_key.py",
        "crawl_audit/timestamp_token.py",  # certificates of timestamp authorities
        "proxy_addon/ca.py",  # makes the authority that crawlers trust
        "proxy_addon/leaf_certificates.py",  # names in the certificates that crawlers are shown
    },
    "rfc3161_client": {"crawl_audit/timestamp_token.py"},
    "orjson": {"crawl_audit/schema.py"},
    "publicsuffixlist": {"crawl_audit/site.py"},
    "http_sf": {"crawl_audit/signals.py", "crawl_audit/web_bot_auth.py", "proxy_addon/denial.py"},
    "duckdb": {
        "proxy_addon/writer.py",
        "proxy_addon/journal.py",
        "proxy_addon/rotation.py",
        "proxy_addon/live.py",
        "proxy_addon/segments.py",
        "proxy_addon/stored_rows.py",
        "proxy_addon/merging.py",
        "proxy_addon/published_log.py",
        "proxy_addon/publisher.py",
        "proxy_addon/quarantine.py",
        "proxy_addon/recovery.py",
        "proxy_addon/log_directory.py",
        "proxy_addon/seal_leaves.py",
        "proxy_addon/enrolling.py",
        "reports/log.py",
        "reports/footers.py",
        "reports/empty_kinds.py",
        "reports/compaction.py",
        "reports/gathering.py",
        "reports/evidence_footers.py",
        "reports/query.py",
        "reports/manifest.py",
        "reports/evidence.py",
        "reports/evidence_bundle.py",
        "reports/rewriting.py",
    },
    "mitmproxy": {
        "proxy_addon/addon.py",  # hooks on exchanges
        "proxy_addon/connections.py",  # hooks on connections
        "proxy_addon/boundary.py",  # what every hook is wrapped in
        "proxy_addon/layers.py",  # the one protocol layer that is ours
        "proxy_addon/master.py",  # mitmproxy embedded
        "proxy_addon/leaf_certificates.py",  # its store of certificates
        "proxy_addon/handlers.py",  # its handler of a connection
        "proxy_addon/links.py",  # its connections, to end them
        "proxy_addon/watching.py",  # names mitmproxy's connection in its types
        "proxy_addon/sidecar.py",  # starts it
        "proxy_addon/recorder.py",  # names mitmproxy's connection in its types
    },
    "h11": {
        "proxy_addon/layers.py",  # mitmproxy's chunked reader, narrowed
        "proxy_addon/site_connection.py",
        "proxy_addon/network_fault.py",  # its exceptions -> our words
    },
    "httpx": {
        "proxy_addon/fetcher.py",  # its URLs
        "proxy_addon/network_fault.py",
    },
    "pydantic": {
        "proxy_addon/crawler_settings.py",
        "proxy_addon/settings.py",
        "proxy_addon/policy_settings.py",
        "proxy_addon/limits_settings.py",
        "proxy_addon/anchor_settings.py",
        "proxy_addon/shared_robots_settings.py",
        "proxy_addon/ship_settings.py",
        "reports/declarations.py",
    },
    "obstore": {"proxy_addon/object_store.py", "reports/object_store.py"},
    "redis": {"proxy_addon/shared_robots_redis.py"},
    "jinja2": {"reports/page/page.py"},
    "pyspark": {"reports/spark_log.py"},
    "py4j": {"reports/spark_log.py"},  # Spark's way to its Java, whose errors it raises
    "sqlglot": {"reports/spark_sql.py", "reports/spark_clauses.py", "reports/iceberg_views.py"},
    "pyiceberg": {"reports/iceberg.py"},
    "sqlalchemy": {"reports/iceberg.py"},  # the errors of its catalogs
    "vl_convert": {"reports/page/charts.py"},
    "pydantic_settings": {"proxy_addon/settings.py"},
    "tornado": {"proxy_addon/admin.py"},
    "prometheus_client": {"proxy_addon/admin.py", "proxy_addon/metrics.py", "proxy_addon/worker_metrics.py"},
    "typer": {
        "reports/iceberg_cli.py",
        "reports/fleet_cli.py",
        "proxy_addon/cli.py",
        "proxy_addon/anchor_cli.py",
        "proxy_addon/probe_cli.py",
        "proxy_addon/ship_cli.py",
        "reports/cli.py",
        "reports/witness_cli.py",
        "reports/compaction_cli.py",
        "reports/custody_cli.py",
        "reports/verify_cli.py",
        "reports/report_cli.py",
        "reports/inquiry_cli.py",
        "reports/lineage_cli.py",
        "reports/reading_cli.py",
        "reports/commands.py",
        "reports/options.py",
    },
}
NEVER = {
    "crawl_audit": {"proxy_addon", "reports", "tests"},
    "proxy_addon": {"reports", "tests"},
    "reports": {"proxy_addon", "mitmproxy", "tests"},
}
BOUNDARY = "proxy_addon/boundary.py"
"""The wrapper of every hook: the one place where any exception is caught, because mitmproxy would forward."""

# Modules without a test file of their name: module -> (the test file that covers it, or None, and the reason).
TESTED_ELSEWHERE: dict[str, tuple[str | None, str]] = {
    "crawl_audit/robots_lines.py": ("tests/crawl_audit/test_robots.py", "the first half of robots.py's work"),
    "crawl_audit/robots_paths.py": ("tests/crawl_audit/test_robots.py", "the second half of robots.py's work"),
    "proxy_addon/__main__.py": ("tests/test_packaging.py", "run there as a program"),
    "proxy_addon/sidecar.py": ("tests/end_to_end/test_life.py", "started, stopped and killed there as a process"),
    "proxy_addon/serving.py": ("tests/end_to_end/test_life.py", "what starts the sidecar there"),
    "proxy_addon/supervisor.py": ("tests/end_to_end/test_workers.py", "started, stopped and killed there as a process"),
    "proxy_addon/worker.py": ("tests/end_to_end/test_workers.py", "what the supervisor starts there"),
    "proxy_addon/published_log.py": ("tests/proxy_addon/test_recovery.py", "what recovery starts from"),
    "proxy_addon/crawler_settings.py": ("tests/proxy_addon/test_settings.py", "refused with the settings as a whole"),
    "proxy_addon/log_end.py": ("tests/proxy_addon/test_recovery.py", "what recovery gives a dead log"),
    "proxy_addon/quarantine.py": ("tests/proxy_addon/test_recovery.py", "where recovery puts what it cannot open"),
    "proxy_addon/stored_rows.py": ("tests/proxy_addon/test_segments.py", "how what segments.py writes is read back"),
    "crawl_audit/fleet_records.py": ("tests/crawl_audit/test_records.py", "records like all others"),
    "crawl_audit/record_columns.py": ("tests/crawl_audit/test_records.py", "how those records are declared"),
    "reports/fleet_history.py": ("tests/reports/test_fleet_collect.py", "what each round there starts from"),
    "reports/fleet_log.py": ("tests/reports/test_fleet_collect.py", "written there, round by round, and killed"),
    "reports/fleet_receipts.py": ("tests/reports/test_fleet_collect.py", "asked there, by each kind of authority"),
    "reports/fleet_rounds.py": ("tests/reports/test_fleet_verify.py", "what every verification there is told from"),
    "reports/fleet_text.py": ("tests/reports/test_fleet_cli.py", "shown there as people see it"),
    "reports/evidence_form.py": ("tests/reports/test_evidence.py", "the first half of evidence.py's work"),
    "reports/verify_text.py": ("tests/reports/test_verify_cli.py", "shown there as people see it"),
    "reports/kinds/opt_out_record.py": ("tests/reports/test_opt_out.py", "the fields of that kind"),
    "reports/kinds/opt_out_text.py": ("tests/reports/test_opt_out.py", "that kind for people"),
    "reports/kinds/robots_history_record.py": ("tests/reports/test_robots_history.py", "the fields of that kind"),
    "reports/kinds/robots_history_text.py": ("tests/reports/test_robots_history.py", "that kind for people"),
    "reports/kinds/violations_record.py": ("tests/reports/test_violations.py", "the fields of that kind"),
    "reports/options.py": ("tests/reports/test_cli.py", "shown there in the help of the commands"),
    "reports/compaction_cli.py": ("tests/reports/test_compaction_job.py", "the command asked there"),
    "reports/remote_fetching.py": ("tests/reports/test_remote.py", "the second half of remote.py's work"),
    "reports/reading_cli.py": ("tests/reports/test_cli.py", "the commands asked there"),
    "reports/iceberg_cli.py": ("tests/reports/test_iceberg.py", "the command run there"),
    "reports/spark_clauses.py": ("tests/reports/test_spark_sql.py", "the second half of spark_sql.py's work"),
    "reports/__main__.py": ("tests/test_packaging.py", "run there as a program"),
}


def modules(*packages: str) -> list[str]:
    return sorted(
        str(path.relative_to(ROOT)) for package in packages or PACKAGES for path in (ROOT / package).rglob("*.py")
    )


def tree_of(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(), filename=module)


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Every module a source imports, wherever in it; ``from a import b`` counts as ``a`` and ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "imports are absolute here"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def forbidden_imports(module: str, tree: ast.AST) -> list[str]:
    """What ``module`` (path from the root) imports against the rules."""
    package = module.partition("/")[0]
    found = set()
    for name in imported_names(tree):
        top = name.partition(".")[0]
        if top in NEVER[package] or (top in ONLY_IN and module not in ONLY_IN[top]):
            found.add(top)
        if package == "crawl_audit" and top not in PACKAGES:
            refused = any(name == part or name.startswith(part + ".") for part in KERNEL_STDLIB_REFUSED)
            if refused or not (top in KERNEL_STDLIB or top in ONLY_IN):
                found.add(top)
    return sorted(f"{module} imports {name}" for name in found)


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_what_its_package_may(module: str) -> None:
    assert forbidden_imports(module, tree_of(module)) == []


@pytest.mark.parametrize(
    "module,source",
    [
        ("crawl_audit/decision.py", "import duckdb"),
        ("crawl_audit/decision.py", "def f():\n    import time"),
        ("crawl_audit/decision.py", "from importlib import resources"),
        ("crawl_audit/decision.py", "from os import path"),
        ("crawl_audit/decision.py", "import asyncio.locks"),
        ("crawl_audit/decision.py", "from urllib import request"),
        ("crawl_audit/decision.py", "from protego import Protego"),
        ("crawl_audit/robots.py", "import mitmproxy.http"),
        ("crawl_audit/schema.py", "from reports import log"),
        ("proxy_addon/addon.py", "import duckdb"),
        ("proxy_addon/writer.py", "from mitmproxy import http"),
        ("proxy_addon/writer.py", "import reports.log"),
        ("reports/log.py", "from proxy_addon import settings"),
        ("reports/status.py", "import duckdb"),
    ],
)
def test_the_import_rules_can_fail(module: str, source: str) -> None:
    assert forbidden_imports(module, ast.parse(source)) != []


def test_the_rules_name_only_files_that_exist() -> None:
    elsewhere = {test for test, _ in TESTED_ELSEWHERE.values() if test}
    named = set().union(*ONLY_IN.values()) | set(TESTED_ELSEWHERE) | elsewhere | {BOUNDARY}
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def calls_of_the_clock(tree: ast.AST) -> list[str]:
    """Calls such as ``datetime.now()``, which import rules alone do not see."""
    names = {"now", "utcnow", "today", "monotonic", "perf_counter", "time_ns", "open", "input", "print", "getenv"}
    return [
        ast.unparse(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")) in names
    ]


@pytest.mark.parametrize("module", modules("crawl_audit"))
def test_the_kernel_reads_no_clock_and_opens_no_file(module: str) -> None:
    assert calls_of_the_clock(tree_of(module)) == []


def test_the_rule_about_the_clock_can_fail() -> None:
    assert calls_of_the_clock(ast.parse("def f():\n    return datetime.datetime.now()")) == ["datetime.datetime.now"]


@pytest.mark.parametrize("package", ["crawl_audit", "reports"])
def test_every_module_for_auditors_imports_without_mitmproxy_and_without_the_sidecar(package: str) -> None:
    names = [module.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for module in modules(package)]
    names = [name for name in names if not name.endswith("__main__")]
    program = (
        "import importlib, sys\n"
        "for name in ('mitmproxy', 'proxy_addon', 'httpx', 'pydantic_settings', 'tornado', 'prometheus_client'):\n"
        "    sys.modules[name] = None\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def has_logic(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree))


@pytest.mark.parametrize("module", modules("crawl_audit", "proxy_addon"))
def test_a_module_with_logic_has_a_test_file_of_its_name(module: str) -> None:
    if module in TESTED_ELSEWHERE or not has_logic(tree_of(module)):
        return
    package, _, rest = module.partition("/")
    expected = ROOT / "tests" / package / f"test_{rest}"
    assert expected.exists(), f"{module} needs {expected.relative_to(ROOT)}"


@pytest.mark.parametrize("module", [name for name in modules("reports") if not name.endswith("__.py")])
def test_a_module_of_the_reports_is_used_by_a_test(module: str) -> None:
    """Reports have test files by feature, so a module needs a test that imports it or bears its name."""
    if module in TESTED_ELSEWHERE:
        return
    name = module.removesuffix(".py").replace("/", ".")
    stem = name.rpartition(".")[2]
    tests = sorted((ROOT / "tests" / "reports").glob("test_*.py"))
    used = any(
        test.stem == f"test_{stem}" or name in set(imported_names(ast.parse(test.read_text()))) for test in tests
    )
    assert used, f"no file in tests/reports imports {name} or is called test_{stem}.py"


def test_every_test_file_of_a_package_belongs_to_a_module() -> None:
    stray = [
        str(path.relative_to(ROOT))
        for package in ("crawl_audit", "proxy_addon")
        for path in (ROOT / "tests" / package).glob("test_*.py")
        if not (ROOT / package / path.name.removeprefix("test_")).exists()
    ]
    assert stray == []


@pytest.mark.parametrize("module", modules())
def test_functions_and_modules_stay_short(module: str) -> None:
    source = (ROOT / module).read_text()
    assert source.count("\n") <= MODULE_LINES_MAX, f"{module} is longer than {MODULE_LINES_MAX} lines: split it"
    long = [
        f"{module}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert long == []


@pytest.mark.parametrize("module", modules())
def test_a_module_says_first_what_it_is_for(module: str) -> None:
    assert len(ast.get_docstring(tree_of(module)) or "") >= 20, f"{module} needs a docstring that says what it owns"
    assert not re.match(r".*(utils|common|misc|helpers|manager)\.py", module), f"{module}: a name that says nothing"


def broad_handlers(tree: ast.AST) -> list[int]:
    """Lines of ``except:``, ``except Exception`` and ``except BaseException``."""
    broad = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            types = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or getattr(kind, "id", "") in {"Exception", "BaseException"} for kind in types):
                broad.append(node.lineno)
    return broad


@pytest.mark.parametrize("module", [module for module in modules() if module != BOUNDARY])
def test_only_the_hook_boundary_catches_everything(module: str) -> None:
    assert broad_handlers(tree_of(module)) == []


@pytest.mark.parametrize("clause", ["except:", "except Exception:", "except (OSError, BaseException) as error:"])
def test_the_rule_about_broad_handlers_can_fail(clause: str) -> None:
    assert broad_handlers(ast.parse(f"try:\n    f()\n{clause}\n    raise\n")) == [3]


# Built from parts, so that this file does not hold what it looks for.
UNFIT = {
    "a path of one machine": r"(?<![\w.$}/])/(?:"
    + "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me", "fa" + "rm"])
    + r")/\w",
    "an environment in a temporary directory": "/tmp/" + r"(?:venv|bash_jobs)",
    "a package index host": "|".join(
        ["py" + r"pi\.org", "python" + r"hosted\.org", "registry\\." + r"npmjs", r"deb\." + r"debian\.org"]
    ),
    "unfinished work": r"\b(?:TO" + "DO|FIX" + r"ME|XX" + r"X)\b",
}


def repository_files() -> list[Path]:
    """The text files of the repository: what git tracks or would track, or all files where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        hidden = re.compile(r"(?:^|/)(?:\.(?!ci/)[^/]+|__pycache__)/")
        found = [path for path in ROOT.rglob("*") if not hidden.search(path.relative_to(ROOT).as_posix())]
    return [path for path in found if path.is_file() and path.suffix not in {".parquet", ".duckdb", ".png"}]


def unfit(text: str) -> list[str]:
    return [what for what, pattern in UNFIT.items() if re.search(pattern, text)]


def test_no_file_names_a_machine_a_package_index_or_unfinished_work() -> None:
    found = {str(path.relative_to(ROOT)): unfit(path.read_text(errors="replace")) for path in repository_files()}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "text", ["see /ro" + "ot/x", "https://py" + "pi.org/simple", "# TO" + "DO later", "PATH=/tmp/" + "venv/bin"]
)
def test_the_rule_about_unfit_text_can_fail(text: str) -> None:
    assert unfit(text) != []
