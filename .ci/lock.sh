#!/usr/bin/env bash
# Writes requirements/*.txt anew from pyproject.toml: exact versions with the hashes of every file of theirs.
# dev.txt is resolved first and binds the others, so that one version of each package is tested and shipped.
# Only releases at least a week old are taken (LOCK_BEFORE=YYYY-MM-DD sets another day): most bad releases are
# withdrawn within days, and an index needs a moment to show a new one everywhere.
set -euo pipefail
cd "$(dirname "$0")/.."
before=${LOCK_BEFORE:-$(date -u -d '7 days ago' +%F)}

python=$(.ci/python.sh)
if [ ! -x .venv-lock/bin/uv ]; then
    "$python" -m venv .venv-lock
    .venv-lock/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
fi

compile() { # NAME OPTION...
    local name=$1
    shift
    {
        echo "# Written by \`make lock\`. Install with: pip install --require-hashes -r requirements/$name.txt"
        .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.12 --generate-hashes \
            --no-emit-index-url --no-emit-find-links --no-header --no-annotate --upgrade --exclude-newer "$before" "$@"
    } > "requirements/$name.txt.new"
    mv "requirements/$name.txt.new" "requirements/$name.txt"
    echo "requirements/$name.txt: $(grep -c '^[a-z]' "requirements/$name.txt") packages" >&2
}

mkdir -p requirements
compile dev pyproject.toml --extra proxy --extra anchors --extra html --extra spark --extra iceberg --group dev
compile demo pyproject.toml --extra proxy --extra anchors --group demo --constraints requirements/dev.txt
compile proxy pyproject.toml --extra proxy --extra anchors --constraints requirements/dev.txt
compile auditor pyproject.toml --extra anchors --extra html --constraints requirements/dev.txt
compile build --group build --constraints requirements/dev.txt
compile fuzz pyproject.toml --group fuzz --constraints requirements/dev.txt
