# The node image: viptrace, bcc from the distribution, and the tools that read a node's rules.
# No kernel headers: probes compile against the running kernel's own BTF.

FROM debian:12-slim AS build
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
RUN /opt/pip/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /dist . \
    && /opt/pip/bin/pip --python /opt/viptrace/bin/python install --no-cache-dir --no-deps \
        /dist/viptrace-*.whl \
    && /opt/viptrace/bin/python -m compileall -q /opt/viptrace/lib

FROM debian:12-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        conntrack iproute2 ipset iptables ipvsadm libpcap0.8 nftables python3 python3-bpfcc \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/viptrace /opt/viptrace
ENV PATH=/opt/viptrace/bin:$PATH \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1
LABEL org.opencontainers.image.title="viptrace" \
      org.opencontainers.image.description="See live how a Kubernetes node translates Service traffic, which flows are lost, and why" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="debian:12-slim"
# Loading probes and reading the rules of the node needs root in the container.
# hadolint ignore=DL3002
USER 0
WORKDIR /var/lib/viptrace
ENTRYPOINT ["viptrace"]
