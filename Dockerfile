# Three images from one file:
#   docker build --target proxy   -t crawl-audit-proxy .     the sidecar
#   docker build --target auditor -t crawl-audit .           the readers, without mitmproxy
#   docker build --target egress  -t crawl-audit-egress .    loads the rules that leave a pod one way out, and ends
# Sidecar and readers run as uid 65532 and write nowhere but /data and a temporary directory, so the root file system
# can be read-only; every command is a list, so no shell is ever started. `make image` builds them and tries all that.
# hadolint global ignore=DL3059
# One command a RUN, because joining them takes a shell; the stages that have many are not what is shipped.

# For a build that can be repeated, name the base by its digest: --build-arg BASE=python:3.13-slim-trixie@sha256:…
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
# Empty, to be owned by the user of the images: a new volume takes its owner from the directory it covers.
RUN ["mkdir", "-p", "/data/audit-log", "/data/audit-ca", "/trust"]
WORKDIR /src
COPY requirements requirements
RUN ["python", "-m", "venv", "/opt/build"]
RUN ["/opt/build/bin/python", "-m", "pip", "install", "--only-binary", ":all:", "--require-hashes", "-r", "requirements/build.txt"]
COPY pyproject.toml README.md LICENSE ./
COPY crawl_audit crawl_audit
COPY proxy_addon proxy_addon
COPY reports reports
RUN ["/opt/build/bin/python", "-m", "hatchling", "build", "--target", "wheel", "--directory", "/dist"]
# What gets installed into it needs no installer: pip stays behind in this stage.
RUN ["python", "-m", "venv", "--without-pip", "/opt/crawl-audit"]

# Byte code is made here, because nothing can be written later. It carries the hash of its source and is checked
# against it when imported, so what runs is the source that is in the image, and the files are the same in every build.
FROM build AS proxy-environment
RUN ["/opt/build/bin/python", "-m", "pip", "--python", "/opt/crawl-audit/bin/python", "install", "--only-binary", ":all:", "--require-hashes", "-r", "requirements/proxy.txt"]
RUN ["/opt/build/bin/python", "-m", "pip", "--python", "/opt/crawl-audit/bin/python", "install", "--no-index", "--no-deps", "--find-links", "/dist", "crawl-audit"]
# 15 MB that nothing here opens: a second build of zstandard for interpreters other than CPython, mitmproxy's web page.
RUN ["find", "/opt/crawl-audit/lib", "(", "-path", "*/zstandard/_cffi.*.so", "-o", "-path", "*/mitmproxy/tools/web/static/*", "-type", "f", ")", "-delete"]
RUN ["/opt/crawl-audit/bin/python", "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "checked-hash", "-x", "/pygments/lexers/", "/opt/crawl-audit/lib"]

FROM build AS auditor-environment
RUN ["/opt/build/bin/python", "-m", "pip", "--python", "/opt/crawl-audit/bin/python", "install", "--only-binary", ":all:", "--require-hashes", "-r", "requirements/auditor.txt"]
RUN ["/opt/build/bin/python", "-m", "pip", "--python", "/opt/crawl-audit/bin/python", "install", "--no-index", "--no-deps", "--find-links", "/dist", "crawl-audit"]
RUN ["/opt/crawl-audit/bin/python", "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "checked-hash", "-x", "/pygments/lexers/", "/opt/crawl-audit/lib"]

# The program that loads packet filter rules, as Debian has it, unpacked: lists and archives stay behind in this stage.
FROM base AS egress-parts
RUN ["mkdir", "/parts"]
RUN ["apt-get", "update"]
RUN ["apt-get", "clean"]
# hadolint ignore=DL3008
RUN ["apt-get", "install", "--yes", "--no-install-recommends", "--download-only", "nftables"]
RUN ["find", "/var/cache/apt/archives", "-name", "*.deb", "-exec", "dpkg-deb", "--extract", "{}", "/parts", ";"]

# Has to be root with CAP_NET_ADMIN, and nothing else: the rules are the kernel's. It ends when they are loaded.
FROM base AS egress
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="crawl-audit-egress" \
      org.opencontainers.image.description="Leaves a crawler that shares a network namespace with crawl-audit-proxy no way out but the proxy" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=egress-parts /parts/usr /usr
COPY deploy/egress/sidecar.nft /etc/crawl-audit/sidecar.nft
# hadolint ignore=DL3002
USER 0:0
ENTRYPOINT ["/usr/sbin/nft", "--file", "/etc/crawl-audit/sidecar.nft"]

FROM base AS auditor
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="crawl-audit" \
      org.opencontainers.image.description="Reads and checks the logs of crawl-audit-proxy" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=auditor-environment /opt/crawl-audit /opt/crawl-audit
COPY --from=build --chown=65532:65532 /data /data
ENV PATH=/opt/crawl-audit/bin:$PATH
USER 65532:65532
WORKDIR /data
VOLUME /data
# It answers and ends; there is nothing to watch.
HEALTHCHECK NONE
ENTRYPOINT ["/opt/crawl-audit/bin/crawl-audit"]
CMD ["--help"]

FROM base AS proxy
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="crawl-audit-proxy" \
      org.opencontainers.image.description="A sidecar that judges every request of a crawler against robots.txt and records it" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=proxy-environment /opt/crawl-audit /opt/crawl-audit
COPY --from=build --chown=65532:65532 /data /data
COPY --from=build --chown=65532:65532 /trust /trust
# The admin port stays on loopback unless CRAWL_AUDIT_ADMIN says otherwise: it can seal, and has no password.
ENV PATH=/opt/crawl-audit/bin:$PATH \
    CRAWL_AUDIT_LOG=/data/audit-log \
    CRAWL_AUDIT_CA=/data/audit-ca \
    CRAWL_AUDIT_LISTEN=0.0.0.0:8080 \
    CRAWL_AUDIT_ADMIN=127.0.0.1:8081
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
# Whether it lives, not whether it is ready: a full disk is no reason to restart it. Asks the port of CRAWL_AUDIT_ADMIN.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/opt/crawl-audit/bin/python", "-I", "-c", "import http.client as h, os; c = h.HTTPConnection(os.environ['CRAWL_AUDIT_ADMIN'], timeout=4); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["/opt/crawl-audit/bin/crawl-audit-proxy"]
CMD ["run"]
