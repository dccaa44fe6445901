# viptrace in two images from one file, for amd64 and arm64:
#
#   (default)         the node image: bcc of the distribution, and the tools that read a node's rules.
#                     No kernel headers: probes compile against the running kernel's own BTF.
#   --target replay   reads recordings; no bcc, no root.
#
# For a build that can be repeated byte by byte, pin the base by the digest that your registry
# tells: --build-arg BASE=debian:12-slim@sha256:...
ARG BASE=debian:12-slim

# hadolint ignore=DL3006
FROM ${BASE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# The environment is made without pip, which has no use on a node.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/viptrace
COPY requirements.lock ./
RUN /opt/pip/bin/pip --python /opt/viptrace/bin/python install --no-cache-dir --no-compile \
        --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY probes ./probes
COPY tracer ./tracer
COPY man ./man
COPY completions ./completions
RUN /opt/pip/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /dist . \
    && /opt/pip/bin/pip --python /opt/viptrace/bin/python install --no-cache-dir --no-deps \
        /dist/viptrace-*.whl \
    && find /opt/viptrace/lib -type d -name tests -prune -exec rm -rf {} + \
    && /opt/viptrace/bin/python -m compileall -q /opt/viptrace/lib

# hadolint ignore=DL3006
FROM ${BASE} AS replay
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libpcap0.8 python3 \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/log/*.log
COPY --from=build /opt/viptrace /opt/viptrace
ENV PATH=/opt/viptrace/bin:$PATH \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1
LABEL org.opencontainers.image.title="viptrace replay" \
      org.opencontainers.image.description="Replay, export and explain viptrace recordings" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/viptrace/viptrace" \
      org.opencontainers.image.base.name="debian:12-slim"
USER 65532:65532
WORKDIR /captures
ENTRYPOINT ["viptrace"]
CMD ["replay", "--help"]

# hadolint ignore=DL3006
FROM ${BASE} AS node
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        conntrack iproute2 ipset iptables ipvsadm libpcap0.8 nftables python3 python3-bpfcc \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/log/*.log
COPY --from=build /opt/viptrace /opt/viptrace
ENV PATH=/opt/viptrace/bin:$PATH \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1
LABEL org.opencontainers.image.title="viptrace" \
      org.opencontainers.image.description="See live how a Kubernetes node translates Service traffic, which flows are lost, and why" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/viptrace/viptrace" \
      org.opencontainers.image.base.name="debian:12-slim"
# `kubectl debug node` takes the image's user: loading probes and reading rules needs root.
# viptrace gives up what it no longer needs once the probes are attached.
# hadolint ignore=DL3002
USER 0
WORKDIR /var/lib/viptrace
ENTRYPOINT ["viptrace"]
