# Two images from one file:
#   docker build --target proxy   -t crawl-audit-proxy .    the sidecar
#   docker build --target auditor -t crawl-audit .          the readers, without mitmproxy
# Both run as uid 65532 and write nowhere but /data, so the root file system can be read-only.

FROM python:3.13-slim-trixie AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
# Empty, to be owned by the user of the images: a new volume takes its owner from the directory it covers.
RUN ["mkdir", "/data"]
WORKDIR /src
COPY requirements requirements
RUN ["python", "-m", "venv", "/opt/build"]
RUN ["/opt/build/bin/python", "-m", "pip", "install", "--only-binary", ":all:", "--require-hashes", "-r", "requirements/build.txt"]
COPY pyproject.toml README.md LICENSE ./
COPY crawl_audit crawl_audit
COPY proxy_addon proxy_addon
COPY reports reports
RUN ["/opt/build/bin/python", "-m", "hatchling", "build", "--target", "wheel", "--directory", "/dist"]

FROM build AS proxy-environment
RUN ["python", "-m", "venv", "/opt/crawl-audit"]
RUN ["/opt/crawl-audit/bin/python", "-m", "pip", "install", "--only-binary", ":all:", "--require-hashes", "-r", "requirements/proxy.txt"]
RUN ["/opt/crawl-audit/bin/python", "-m", "pip", "install", "--no-index", "--no-deps", "--find-links", "/dist", "crawl-audit"]
RUN ["/opt/crawl-audit/bin/python", "-m", "compileall", "-q", "/opt/crawl-audit/lib"]

FROM build AS auditor-environment
RUN ["python", "-m", "venv", "/opt/crawl-audit"]
RUN ["/opt/crawl-audit/bin/python", "-m", "pip", "install", "--only-binary", ":all:", "--require-hashes", "-r", "requirements/auditor.txt"]
RUN ["/opt/crawl-audit/bin/python", "-m", "pip", "install", "--no-index", "--no-deps", "--find-links", "/dist", "crawl-audit"]
RUN ["/opt/crawl-audit/bin/python", "-m", "compileall", "-q", "/opt/crawl-audit/lib"]

FROM base AS auditor
LABEL org.opencontainers.image.title="crawl-audit" \
      org.opencontainers.image.description="Reads and checks the logs of crawl-audit-proxy" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=auditor-environment /opt/crawl-audit /opt/crawl-audit
COPY --from=build --chown=65532:65532 /data /data
ENV PATH=/opt/crawl-audit/bin:$PATH
USER 65532:65532
WORKDIR /data
VOLUME /data
ENTRYPOINT ["/opt/crawl-audit/bin/crawl-audit"]
CMD ["--help"]

FROM base AS proxy
LABEL org.opencontainers.image.title="crawl-audit-proxy" \
      org.opencontainers.image.description="A sidecar that judges every request of a crawler against robots.txt and records it" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=proxy-environment /opt/crawl-audit /opt/crawl-audit
COPY --from=build --chown=65532:65532 /data /data
ENV PATH=/opt/crawl-audit/bin:$PATH \
    CRAWL_AUDIT_LOG=/data/audit-log \
    CRAWL_AUDIT_CA=/data/audit-ca \
    CRAWL_AUDIT_LISTEN=0.0.0.0:8080
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/crawl-audit/bin/crawl-audit-proxy"]
CMD ["run"]
