#!/usr/bin/env bash
# Builds the images of the Dockerfile and tries what is claimed of them: size, user, a read-only root without a shell,
# a request through the sidecar, the end by SIGTERM, the log read by the other image, lint and a list of parts.
# Takes a Docker daemon that answers. Otherwise, as root on Debian, it runs one of its own from Debian's docker.io on a
# stand-in for the base image made by mmdebstrap, and removes all of it again. Results are in build/image.
set -euo pipefail
cd "$(dirname "$0")/.."
size_mb_max=350
work=$(mktemp -d)
out=$PWD/build/image
mkdir -p "$out"
name=crawl-audit-check-$$
daemon="" base=""
started=$SECONDS
say() { echo "image: $* ($((SECONDS - started)) s)" >&2; }
fail() { echo "image: FAILED: $*" >&2; exit 1; }
quietly() { "$@" >"$work/last.log" 2>&1 || { tail -n 40 "$work/last.log" >&2; fail "$*"; }; }

clean_up() {
    local status=$?
    trap - EXIT
    if [ -n "${origin:-}" ]; then kill "$origin" 2>/dev/null || true; fi
    if docker info >/dev/null 2>&1; then
        docker rm --force --volumes "$name" >/dev/null 2>&1 || true
        docker volume rm --force "$name-log" "$name-ca" >/dev/null 2>&1 || true
    fi
    if [ -z "$daemon" ]; then
        docker rmi --force crawl-audit-check:{proxy,auditor,egress} crawl-audit-stand-in:{trixie,bare} >/dev/null 2>&1 || true
    else
        kill "$daemon" 2>/dev/null || true
        wait "$daemon" 2>/dev/null || true
        umount "$work"/exec/netns/* 2>/dev/null || true
    fi
    rm -rf --one-file-system "$work"
    exit "$status"
}
trap clean_up EXIT

install_debian() { # PACKAGE...
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        fail "no Docker daemon answers here, and making one takes root on Debian: start one and run this again"
    fi
    say "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    quietly apt-get update -qq
    quietly apt-get install -qq --yes --no-install-recommends "$@"
}

# A daemon of our own: no bridge and no packet filter, so that it needs neither and changes neither.
start_daemon() {
    if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then install_debian docker.io; fi
    dockerd --bridge=none --iptables=false --ip6tables=false --data-root "$work/docker" --exec-root "$work/exec" \
        --host "unix://$work/docker.sock" --pidfile "$work/docker.pid" >"$work/dockerd.log" 2>&1 &
    daemon=$!
    export DOCKER_HOST=unix://$work/docker.sock
    export DOCKER_BUILDKIT=0 # Debian has no buildx
    for _ in $(seq 100); do
        if docker info >/dev/null 2>&1; then return; fi
        kill -0 "$daemon" 2>/dev/null || break
        sleep 0.2
    done
    tail -n 20 "$work/dockerd.log" >&2
    fail "the Docker daemon does not start"
}

# What the image python:3.13-slim-trixie is, as far as the Dockerfile is concerned: Debian 13 without documentation, and
# its Python 3.13. Certificates and proxies of this machine are for pip and go into the stand-in, never into the Dockerfile.
make_base() {
    base=crawl-audit-stand-in:trixie
    command -v mmdebstrap >/dev/null || install_debian mmdebstrap
    quietly mmdebstrap --variant=minbase --include=ca-certificates,python3,python3-venv \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' trixie "$work/base.tar"
    mkdir "$work/base"
    cp /etc/ssl/certs/ca-certificates.crt "$work/base/"
    printf '[global]\n%s\n' "${PIP_INDEX_URL:+index-url = $PIP_INDEX_URL}" >"$work/base/pip.conf"
    cat >"$work/base/Dockerfile" <<'END'
FROM crawl-audit-stand-in:bare
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY pip.conf /etc/pip.conf
RUN ["ln", "--symbolic", "/usr/bin/python3", "/usr/local/bin/python"]
END
    quietly docker import "$work/base.tar" crawl-audit-stand-in:bare
    quietly docker build --tag "$base" "$work/base"
    rm "$work/base.tar"
}

find_daemon() {
    docker info >/dev/null 2>&1 || start_daemon
    if [ -n "$daemon" ] || ! docker pull --quiet python:3.13-slim-trixie >/dev/null 2>&1; then make_base; fi
    say "$(docker --version), base ${base:-python:3.13-slim-trixie}"
}

build() { # TARGET
    local options=(--target "$1" --tag "crawl-audit-check:$1" --build-arg "VERSION=$version" --build-arg "REVISION=$revision")
    [ -z "$base" ] || options+=(--build-arg "BASE=$base")
    [ -z "$daemon" ] || options+=(--network host)
    local proxy
    for proxy in HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        if [ -n "${!proxy:-}" ]; then options+=(--build-arg "$proxy"); fi
    done
    quietly docker build "${options[@]}" .
    local mb=$(($(docker image inspect --format '{{.Size}}' "crawl-audit-check:$1") / 1000000))
    echo "$1 $mb MB" >>"$out/sizes.txt"
    [ "$mb" -le "$size_mb_max" ] || fail "the image $1 has $mb MB, more than $size_mb_max"
    say "built $1, $mb MB"
}

# Runs a container as a careful operator would, and with what could be started as a shell taken away.
confined=(--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --pids-limit 256 --memory 512m
    --volume /dev/null:/usr/bin/dash:ro --volume /dev/null:/usr/bin/bash:ro)
python_in() { # IMAGE CODE
    docker run --rm --network none "${confined[@]}" --entrypoint /opt/crawl-audit/bin/python "crawl-audit-check:$1" -I -c "$2"
}
elevating() { docker run --rm --network none --user 0 --entrypoint find "$1" / -xdev -perm /6000 -type f | sort; }

check_contents() { # TARGET
    python_in "$1" 'if True:
        import importlib.util, os, pathlib
        status = dict(line.split(":\t") for line in pathlib.Path("/proc/self/status").read_text().splitlines())
        assert (os.getuid(), os.getgid()) == (65532, 65532), os.getuid()
        assert status["CapEff"].strip("0") == "" and status["CapBnd"].strip("0") == "", status["CapEff"]
        assert status["NoNewPrivs"] == "1"
        assert importlib.util.find_spec("pip") is None, "pip is installed"
        try:
            pathlib.Path("/opt/crawl-audit/x").write_text("x")
        except OSError:
            pass
        else:
            raise AssertionError("the root file system can be written to")
    ' || fail "the image $1 does not hold what it should"
    local from=${base:-python:3.13-slim-trixie}
    diff <(elevating "$from") <(elevating "crawl-audit-check:$1") >&2 || fail "the image $1 adds files that elevate rights"
    [ "$(docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.revision"}}' "crawl-audit-check:$1")" = "$revision" ] ||
        fail "the image $1 is missing its revision"
}

# A list of the parts of an environment, from the metadata of what is installed in the image; Debian's beside it.
list_parts() { # TARGET
    local env=$work/parts-$1 container
    "$python" -m venv --without-pip "$env"
    container=$(docker create "crawl-audit-check:$1")
    docker cp "$container:/opt/crawl-audit/lib" "$work/lib-$1" >/dev/null
    docker rm "$container" >/dev/null
    cp -a "$work/lib-$1"/python3.*/site-packages/. "$env"/lib/python3.*/site-packages/
    quietly "$work/tools/bin/cyclonedx-py" environment --output-format JSON --spec-version 1.6 --output-reproducible \
        --validate --output-file "$out/$1.cdx.json" "$env"
    docker run --rm --network none --entrypoint dpkg-query "crawl-audit-check:$1" --show >"$out/$1.debian.txt"
    "$python" - "$out/$1.cdx.json" "requirements/$1.txt" <<'END' || fail "the list of parts of $1 is not the lock"
import json, re, sys
parts = {re.sub("[-_.]+", "-", part["name"]).lower(): part["version"] for part in json.load(open(sys.argv[1]))["components"]}
locked = set(re.findall(r"^([a-z0-9._-]+)==(\S+)", open(sys.argv[2]).read(), re.MULTILINE))
strange = [part for part in parts.items() if part[0] != "crawl-audit" and part not in locked]
assert parts.get("crawl-audit") and not strange, strange
END
}

check_proxy() {
    local ports
    mapfile -t ports < <("$python" -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(each.getsockname()[1] for each in held), sep="\n")')
    mkdir "$work/site"
    printf 'User-agent: *\nDisallow: /private\n' >"$work/site/robots.txt"
    echo public >"$work/site/page"
    echo private >"$work/site/private"
    "$python" -m http.server --bind 127.0.0.1 --directory "$work/site" "${ports[0]}" >/dev/null 2>&1 &
    origin=$!
    local volumes=(--volume "$name-log:/data/audit-log" --volume "$name-ca:/data/audit-ca")
    docker run --rm --network none "${confined[@]}" "${volumes[@]}" crawl-audit-check:proxy ca >/dev/null || fail "crawl-audit-proxy ca"
    # The key is read-only from here on, as a mounted secret is.
    docker run --detach --name "$name" --network host --health-interval 1s "${confined[@]}" \
        --volume "$name-log:/data/audit-log" --volume "$name-ca:/data/audit-ca:ro" \
        --env CRAWL_AUDIT_LISTEN="127.0.0.1:${ports[1]}" --env CRAWL_AUDIT_ADMIN="127.0.0.1:${ports[2]}" \
        --env CRAWL_AUDIT_MODE=enforce --env CRAWL_AUDIT_EGRESS__ALLOW_NETWORKS='["127.0.0.0/8"]' \
        crawl-audit-check:proxy >/dev/null
    for _ in $(seq 150); do
        [ "$(docker inspect --format '{{.State.Health.Status}}' "$name")" != healthy ] || break
        sleep 0.2
    done
    [ "$(docker inspect --format '{{.State.Health.Status}}' "$name")" = healthy ] ||
        { docker logs "$name" >&2; fail "the sidecar does not become healthy"; }
    local got
    got=$("$python" - "${ports[@]}" <<'END'
import sys, urllib.error, urllib.request
origin, proxy, _ = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": f"http://127.0.0.1:{proxy}"}))
for path in ("page", "private"):
    try:
        print(path, opener.open(f"http://127.0.0.1:{origin}/{path}", timeout=20).status)
    except urllib.error.HTTPError as refused:
        print(path, refused.code)
END
    )
    [ "$got" = $'page 200\nprivate 403' ] || { docker logs "$name" >&2; fail "through the sidecar came: $got"; }
    docker exec "$name" crawl-audit-proxy seal >"$work/seal.json" || fail "crawl-audit-proxy seal in the container"
    local before=$SECONDS
    docker stop --time 30 "$name" >/dev/null
    [ "$(docker inspect --format '{{.State.ExitCode}}' "$name")" = 0 ] || { docker logs "$name" >&2; fail "SIGTERM does not end it with 0"; }
    # The last of the checkpoints on its standard output, as whoever collects that would hold it against the log.
    mkdir "$work/pins"
    docker logs "$name" 2>/dev/null | "$python" -c '
import json, sys
said = [json.loads(line) for line in sys.stdin if line.startswith("{")]
print([line["checkpoint"] for line in said if "checkpoint" in line][-1], end="")' >"$work/pins/last.checkpoint"
    say "the sidecar ran confined, answered 200 and 403, and ended by SIGTERM with 0 in $((SECONDS - before)) s"
}

check_auditor() {
    local auditor
    auditor=(docker run --rm --network none "${confined[@]}" --volume "$name-log:/data/audit-log:ro"
        --volume "$work/pins:/pins:ro" crawl-audit-check:auditor)
    "${auditor[@]}" verify audit-log --pin /pins/last.checkpoint --format json >"$work/verify.json" 2>"$work/last.log" ||
        { cat "$work/verify.json" "$work/last.log" >&2; fail "the log does not verify"; }
    grep -q '"result": *"ok"' "$work/verify.json" || { cat "$work/verify.json" >&2; fail "the result of verify is not ok"; }
    "${auditor[@]}" query audit-log "SELECT string_agg(action, ' ' ORDER BY seq) AS actions FROM decision" --format csv >"$work/actions.csv" 2>"$work/last.log" ||
        { cat "$work/last.log" >&2; fail "the log cannot be queried"; }
    grep -q '^forwarded denied' "$work/actions.csv" || fail "the log does not hold the two decisions"
    "${auditor[@]}" report activity audit-log --format html 2>"$work/last.log" >"$work/activity.html" || { cat "$work/last.log" >&2; fail "no HTML page"; }
    grep -q '<svg' "$work/activity.html" || fail "the HTML page has no chart"
    say "the other image verified the log, read-only and without network, and made a page of it"
}

check_egress() {
    docker run --rm --network none --read-only --cap-drop ALL --cap-add NET_ADMIN --security-opt no-new-privileges \
        --volume /dev/null:/usr/bin/dash:ro --volume /dev/null:/usr/bin/bash:ro crawl-audit-check:egress || fail "the egress rules do not load"
}

install_tools() {
    "$python" -m venv "$work/tools" && "$work/tools/bin/python" -m pip install --disable-pip-version-check --no-input \
        --only-binary :all: --require-hashes --requirement .ci/image-tools.txt
} >"$work/tools.log" 2>&1

python=$(.ci/python.sh)
version=$("$python" -c 'import re; print(re.search(r"__version__ = \"(.+)\"", open("crawl_audit/__init__.py").read())[1])')
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
rm -f "$out"/*
install_tools &
tools=$!
find_daemon
wait "$tools" || { tail -n 20 "$work/tools.log" >&2; fail "what images are checked with cannot be installed"; }
"$work/tools/bin/hadolint" Dockerfile >&2 || fail "hadolint finds fault with the Dockerfile"
say "hadolint finds no fault with the Dockerfile"
for target in proxy auditor egress; do build "$target"; done
for target in proxy auditor; do
    check_contents "$target"
    list_parts "$target"
done
check_proxy
check_auditor
check_egress
say "passed; sizes and lists of parts are in build/image"
cat "$out/sizes.txt"
