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
    && apt-get install -y --no-install-recommends binutils python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# The environment is made without pip, which has no use on a node.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/viptrace
COPY requirements.lock ./
# Libraries without what only their developers use, and compiled instead of as text: that is half.
# What auditwheel put into numpy.libs does not survive being stripped.
RUN /opt/pip/bin/pip --python /opt/viptrace/bin/python install --no-cache-dir --no-compile \
        --require-hashes -r requirements.lock \
    && find /opt/viptrace/lib -type d \( -name tests -o -path '*/numpy/f2py' \
        -o -path '*/numpy/_core/include' -o -path '*/numpy/distutils' \
        -o -path '*/scapy/contrib' \) -prune -exec rm -rf {} + \
    && find /opt/viptrace/lib -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.a' \
        -o -name '_simd.*.so' \) -delete \
    && find /opt/viptrace/lib -name '*.so' ! -path '*.libs/*' -exec strip --strip-unneeded {} + \
    && /opt/viptrace/bin/python -m compileall -q -b /opt/viptrace/lib \
    && find /opt/viptrace/lib -name '*.py' -delete
COPY pyproject.toml README.md LICENSE ./
COPY probes ./probes
COPY tracer ./tracer
COPY man ./man
COPY completions ./completions
RUN /opt/pip/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /dist . \
    && /opt/pip/bin/pip --python /opt/viptrace/bin/python install --no-cache-dir --no-deps \
        /dist/viptrace-*.whl \
    && /opt/viptrace/bin/python -m compileall -q \
        /opt/viptrace/lib/python3*/site-packages/tracer \
        /opt/viptrace/lib/python3*/site-packages/probes

# hadolint ignore=DL3006
FROM ${BASE} AS bcc
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        g++ libclang-14-dev libncurses-dev libpolly-14-dev llvm-14-dev python3-bpfcc zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
COPY deploy/image/link-llvm /usr/local/bin/
RUN mkdir -p /bcc/usr/local/lib /bcc/usr/lib/python3/dist-packages /bcc/usr/share/doc \
    && link-llvm /bcc/usr/local/lib \
    && cp -a "/usr/lib/$(uname -m)-linux-gnu"/libbcc.so.* /bcc/usr/local/lib/ \
    && cp -a /usr/lib/python3/dist-packages/bcc /bcc/usr/lib/python3/dist-packages/ \
    && for name in libbpfcc libclang-cpp14 libllvm14; do \
        install -D "/usr/share/doc/$name/copyright" "/bcc/usr/share/doc/$name/copyright"; done

# hadolint ignore=DL3006
FROM ${BASE} AS replay
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# Python's own library compiled, without its text, as those of viptrace are.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libpcap0.8 python3 \
    && apt-get clean \
    && python3 -m compileall -q -b /usr/lib/python3.* \
    && find /usr/lib/python3.* -name __pycache__ -prune -exec rm -rf {} + \
    && find /usr/lib/python3.* -name '*.py' -delete \
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

FROM replay AS whole
# hadolint ignore=DL3002
USER 0
# The C library's converters of character sets have no use here: everything is UTF-8.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        conntrack iproute2 ipset iptables ipvsadm libbpf1 libelf1 libstdc++6 nftables \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/log/*.log \
    && rm -rf /usr/lib/*-linux-gnu/gconv
COPY --from=bcc /bcc /
RUN ldconfig

# One layer: what was removed from the base takes no room.
FROM scratch AS node
# hadolint ignore=DL3067
COPY --from=whole / /
ENV PATH=/opt/viptrace/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
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
CMD []
