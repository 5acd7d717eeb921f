#!/usr/bin/env bash
# Starts the sidecar with the given arguments of `run`, after making the CA they name where there is none.
# Replaces itself with the sidecar, so that Ctrl-C and SIGTERM reach it and nothing else. stdout is the sidecar's alone.
set -euo pipefail
authority=()
previous=""
for argument in "$@"; do
    case $previous in --config | --ca) authority+=("$previous" "$argument") ;; esac
    case $argument in --config=* | --ca=*) authority+=("$argument") ;; esac
    previous=$argument
done
certificate=$(.venv/bin/crawl-audit-proxy ca ${authority[@]+"${authority[@]}"})
echo "Clients have to trust $certificate" >&2
exec .venv/bin/crawl-audit-proxy run "$@"
