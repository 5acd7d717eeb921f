#!/usr/bin/env bash
# Prints the path of a Python that can run the project: 3.12 or newer, able to make virtual environments.
# $PYTHON decides where it is set; otherwise the first that fits of: .venv, python3, python3.13, python3.12, pyenv, uv.
set -euo pipefail
cd "$(dirname "$0")/.."
without_venv=""

# Prints the real path of interpreter $1 and succeeds where it fits.
try() {
    local found
    found=$("$1" -c 'import sys; print(sys.executable) if sys.version_info >= (3, 12) else sys.exit(1)' 2>/dev/null) || return 1
    [ -n "$found" ] || return 1
    if ! "$found" -c 'import ensurepip, venv' 2>/dev/null; then
        without_venv=$found
        return 1
    fi
    printf '%s\n' "$found"
}

if [ -n "${PYTHON:-}" ]; then
    try "$PYTHON" && exit 0
    [ -z "$without_venv" ] || { echo "PYTHON=$PYTHON cannot make virtual environments: install its venv package (Debian: apt install python3-venv)." >&2; exit 1; }
    echo "PYTHON=$PYTHON is not a Python of version 3.12 or newer: point PYTHON at one, or unset it." >&2
    exit 1
fi

for candidate in .venv/bin/python python3 python3.13 python3.12; do
    if command -v "$candidate" >/dev/null; then try "$candidate" && exit 0; fi
done

pyenv_root=${PYENV_ROOT:-$HOME/.pyenv}
if command -v pyenv >/dev/null; then pyenv_root=$(pyenv root); fi
for series in 3.13 3.12; do
    for candidate in $(ls -d "$pyenv_root/versions/$series".*/bin/python 2>/dev/null | sort -rV); do
        try "$candidate" && exit 0
    done
done

if command -v uv >/dev/null; then
    for series in 3.13 3.12; do
        if candidate=$(uv python find "$series" 2>/dev/null); then try "$candidate" && exit 0; fi
    done
fi

if [ -n "$without_venv" ]; then
    echo "$without_venv cannot make virtual environments: install its venv package (Debian: apt install python3-venv)." >&2
else
    echo "No Python 3.12 or newer was found: install one (for example 'pyenv install 3.13', 'uv python install 3.13' or Debian 13's python3), or set PYTHON to its path." >&2
fi
exit 1
