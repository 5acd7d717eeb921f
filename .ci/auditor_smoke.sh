#!/usr/bin/env bash
# What an auditor gets: the built wheel and requirements/auditor.txt in an empty environment, without mitmproxy.
# Guards against a dependency of the sidecar creeping into the readers, and against files missing from the wheel.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { echo "auditor smoke: $*" >&2; }
fail() { say "FAILED: $*"; exit 1; }

.venv/bin/python -m hatchling build --target wheel --directory "$work/dist" >/dev/null 2>"$work/build.log" ||
    { cat "$work/build.log" >&2; fail "the wheel cannot be built"; }
.venv/bin/python -m venv "$work/venv"
pip() { "$work/venv/bin/python" -m pip --quiet --disable-pip-version-check --no-input "$@"; }
{
    pip install --only-binary :all: --require-hashes -r requirements/auditor.txt &&
        pip install --no-index --no-deps "$work"/dist/*.whl
} >"$work/install.log" 2>&1 || { tail -n 20 "$work/install.log" >&2; fail "the wheel cannot be installed"; }

# A log to read: 400 exchanges, as the tests of the readers make it.
.venv/bin/python -c 'import pathlib, sys; from tests import logs; logs.mixed(pathlib.Path(sys.argv[1]))' "$work/audit-log"

cd "$work"
bin=$work/venv/bin
"$bin/python" -m pip check >/dev/null || fail "pip check finds the environment inconsistent"
if "$bin/python" -c 'import mitmproxy' 2>/dev/null; then fail "mitmproxy is installed"; fi
"$bin/crawl-audit" --help >/dev/null || fail "crawl-audit --help"

printf 'User-agent: ExampleBot\nDisallow: /private\n' > robots.txt
"$bin/crawl-audit" judge --robots robots.txt --token ExampleBot https://example.com/private/a > judged.txt || true
grep -q disallowed judged.txt || { cat judged.txt >&2; fail "crawl-audit judge does not say disallowed"; }

"$bin/crawl-audit" status audit-log >/dev/null || fail "crawl-audit status"
"$bin/crawl-audit" report activity audit-log --format csv 2>report.err | grep -q , || fail "crawl-audit report activity"
"$bin/crawl-audit" query audit-log 'SELECT count(*) AS n FROM decision' --format json | grep -q 400 ||
    fail "crawl-audit query does not count 400 decisions"

if "$bin/crawl-audit-proxy" --help >/dev/null 2>proxy.txt; then fail "crawl-audit-proxy runs without mitmproxy"; fi
grep -qF 'crawl-audit[proxy]' proxy.txt || { cat proxy.txt >&2; fail "crawl-audit-proxy does not say what to install"; }
if grep -q Traceback proxy.txt; then cat proxy.txt >&2; fail "crawl-audit-proxy ends with a traceback"; fi
say "passed ($("$bin/python" -m pip list 2>/dev/null | tail -n +3 | wc -l) packages)"
