"""The API server watch at the size of large clusters: first sync, memory, changes, look-ups.

Usage: python -m bench.cluster [SERVICES] [SECONDS]. Ten endpoints and five pods a Service, all
pods asked for. The client has one processor, the fake server another.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.bulk_api import BulkApi, Size
from tracer.clock import wall_ns
from tracer.cluster.model import Cluster, Turn
from tracer.cluster.watch import Choice, ClusterWatch
from tracer.enrich import Enricher
from tracer.names import Names
from tracer.pipeline import Pipeline

CHANGES_A_SECOND = 500
LOOKUPS = 1_000_000


def kubeconfig(folder: Path, port: int) -> Path:
    """A kubeconfig for a server on loopback."""
    path = folder / "kubeconfig"
    server = {"cluster": {"server": f"http://127.0.0.1:{port}"}, "name": "it"}
    context = {"context": {"cluster": "it", "user": "it"}, "name": "it"}
    users = [{"name": "it", "user": {}}]
    content = {"clusters": [server], "contexts": [context], "users": users}
    path.write_text(json.dumps(content | {"current-context": "it"}))
    return path


def memory_mb() -> float:
    """Peak of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sync(watch: ClusterWatch) -> Cluster:
    """Until everything is there."""
    while True:
        cluster = watch.poll(1.0)
        if cluster is not None and {"pods", "endpoints", "services"} <= cluster.known:
            return cluster


def follow(watch: ClusterWatch, pipeline: Pipeline, seconds: float) -> None:
    """Take changes for a while; say how old they are when they arrive, and what they cost."""
    until, busy = time.monotonic() + seconds, time.process_time()
    heard_ms, shown_ms, snapshots, seen, costs_ms = [], [], 0, 0, []
    while time.monotonic() < until:
        cluster = watch.poll(0.1)
        if cluster is None:
            continue
        snapshots += 1
        began = time.perf_counter()
        pipeline.set_cluster(cluster, cluster.at_ns)
        costs_ms.append((time.perf_counter() - began) * 1e3)
        fresh = [c for c in cluster.changes if c.turn is Turn.JOINED and c.at_ns > seen]
        sent = [int(c.endpoint.pod.rpartition("-")[2]) for c in fresh if c.endpoint]
        heard_ms += [(c.at_ns - at) / 1e6 for c, at in zip(fresh, sent, strict=True)]
        shown_ms += [(wall_ns() - at) / 1e6 for at in sent]
        seen = max((c.at_ns for c in fresh), default=seen)
    busy = time.process_time() - busy
    if heard_ms:
        p50, p99 = np.percentile(heard_ms, (50, 99))
        print(f"  {len(heard_ms) / seconds:.0f} changes/s heard {p50:.0f} ms after they were sent")
        print(f"  (p99 {p99:.0f} ms; last second p99 {np.percentile(heard_ms[-400:], 99):.0f} ms)")
        print(
            f"  in a snapshot, named and judged after {np.median(shown_ms):.0f} ms,"
            f" at most {max(shown_ms):.0f} ms"
        )
    print(f"  {snapshots / seconds:.1f} snapshots/s, pipeline {np.median(costs_ms):.0f} ms each,")
    print(f"  {100 * busy / seconds:.0f} % of one processor for all of it")


def look_up(cluster: Cluster, rng: np.random.Generator) -> None:
    """Names of many addresses at once."""
    enricher = Enricher(Names())
    enricher.set_cluster(cluster)
    known = np.frombuffer(b"".join(e.ip for e in cluster.endpoints), "<u8").reshape(-1, 2)
    virtual = np.frombuffer(b"".join(s.cluster_ips[0] for s in cluster.services), "<u8")
    chosen = known[rng.integers(0, len(known), LOOKUPS)]
    services = virtual.reshape(-1, 2)[rng.integers(0, len(cluster.services), LOOKUPS)]
    ports, protocols = np.full(LOOKUPS, 80, np.uint16), np.full(LOOKUPS, 6, np.uint8)
    began = time.process_time()
    names = enricher.names_of(chosen)
    between = time.process_time()
    hits = enricher.services_of(services, ports, protocols)
    ended = time.process_time()
    assert (names > 0).all()
    assert (hits >= 0).all()
    print(f"  {LOOKUPS} pod names {between - began:.3f} s, Services {ended - between:.3f} s")


def main(services: int, seconds: float) -> None:
    """Print the figures."""
    processors = sorted(os.sched_getaffinity(0))
    size = Size(services, 5 * services, CHANGES_A_SECOND)
    api = BulkApi(size, processors[-1])
    os.sched_setaffinity(0, {processors[0]})
    with tempfile.TemporaryDirectory() as folder:
        choice = Choice(kubeconfig(Path(folder), api.port), all_pods=True)
        watch = ClusterWatch(choice, lambda _: "node-1")
        base, began, busy = memory_mb(), time.perf_counter(), time.process_time()
        watch.open()
        cluster = sync(watch)
        elapsed, busy = time.perf_counter() - began, time.process_time() - busy
        print(f"{len(cluster.services)} Services, {len(cluster.endpoints)} endpoints,")
        print(f"  {len(cluster.pods)} pods: synced in {elapsed:.1f} s ({busy:.1f} s of processor),")
        print(f"  peak memory {memory_mb():.0f} MB ({base:.0f} MB before)")
        pipeline = Pipeline()
        began = time.perf_counter()
        pipeline.set_cluster(cluster, cluster.at_ns)
        print(f"  all look-up tables {time.perf_counter() - began:.2f} s, {memory_mb():.0f} MB")
        look_up(cluster, np.random.default_rng(7))
        api.go.set()
        follow(watch, pipeline, seconds)
        print(f"  peak memory {memory_mb():.0f} MB")
        watch.close()
    api.close()


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 10_000,
        float(sys.argv[2]) if len(sys.argv) > 2 else 20.0,
    )
