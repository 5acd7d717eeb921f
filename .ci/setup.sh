#!/usr/bin/env bash
# Makes .venv hold what LEVEL needs, from the lock and with hashes: proxy < demo < dev. Does nothing where it does.
# The level fuzz has an environment of its own, .venv-fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
level=$1
venv=.venv
levels="dev demo proxy"
if [ "$level" = fuzz ]; then
    venv=.venv-fuzz
    levels=fuzz
fi

python=$(.ci/python.sh)
# Every input of the set-up; a difference in one of them means setting up again.
fingerprint() {
    { "$python" -c 'import sys; print(sys.version, sys.base_prefix)'; cat pyproject.toml requirements/build.txt "requirements/$1.txt"; } | sha256sum
}
for done_level in $levels; do
    stamp=$venv/.set-up-$done_level
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint "$done_level")" ]; then exit 0; fi
    if [ "$done_level" = "$level" ]; then break; fi
done

started=$SECONDS
echo "Setting up $venv from requirements/$level.txt with $("$python" --version) ..." >&2
base() { "$1" -c 'import sys; print(sys.base_prefix)' 2>/dev/null || true; }
if [ "$(base "$venv/bin/python")" != "$(base "$python")" ]; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
rm -f "$venv"/.set-up-*
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }
# Wheels only: nothing that was downloaded runs before it is used. The one exception is Spark, which the tests compare
# reports with and which is published as source alone. The project itself is built by the locked backend.
forms=(--only-binary :all:)
if [ "$level" = dev ]; then forms+=(--no-binary pyspark); fi
if ! {
    pip install "${forms[@]}" --require-hashes -r requirements/build.txt -r "requirements/$level.txt" &&
        pip install --no-index --no-deps --no-build-isolation --editable .
} > "$venv/set-up.log" 2>&1; then
    tail -n 20 "$venv/set-up.log" >&2
    echo "Setting up $venv failed: the lines above say why, $venv/set-up.log has all of it." >&2
    exit 1
fi
fingerprint "$level" > "$venv/.set-up-$level"
echo "Set up in $((SECONDS - started)) s." >&2
