import numpy as np
import pytest

from tests.builders import START
from tests.tracer.node.namespace import inside, talk, translate
from tests.tracer.node.rows import flags, spoken
from tracer.events import EventBatch, Flag, Hook, Origin, Protocol
from tracer.flow import FLOW
from tracer.node import verifier
from tracer.node.existing import existing
from tracer.node.verifier import TableVerifier, client_tuples
from tracer.pipeline import Pipeline


def test_a_flow_is_looked_up_as_its_client_sees_it():
    flows = np.zeros(1, dtype=FLOW)
    flows["client"][0] = (0, 1)
    flows["virtual"][0] = (0, 2)
    flows["client_port"], flows["virtual_port"] = 4000, 80
    flows["family"], flows["protocol"] = 2, Protocol.TCP
    (row,) = client_tuples(flows)
    assert (row["src"].tolist(), row["dst"].tolist()) == ([0, 1], [0, 2])
    assert (row["src_port"], row["dst_port"], row["protocol"]) == (4000, 80, Protocol.TCP)


def silent(batch):
    """The same connections as they were when they began."""
    records = batch.records.copy()
    records["time_ns"] = START
    records["hook"] = Hook.CT_NEW
    records["flags"] &= np.uint16(~(Flag.EXISTING | Flag.REPLIED | Flag.ASSURED) & 0xFFFF)
    return EventBatch(records, Origin.KERNEL, START + 10_000_000_000)


def answered_unseen():
    verifier.LOOKUPS = 5
    translate("nft")
    kept = talk(tcp=3, udp=1)
    batch = existing()
    pipeline = Pipeline()
    pipeline.feed(silent(batch))
    suspects = pipeline.suspects(1)
    last_seen = pipeline.table.flows["last_ns"][suspects].copy()
    asker = TableVerifier()
    answers = [asker.lookup(pipeline, suspects) for _ in range(2)]
    for answer in answers:
        pipeline.feed(answer)
    asker.close()
    for connection in kept:
        connection.close()
    records = np.concatenate([answer.records for answer in answers])
    return {
        "suspects": len(suspects),
        "asked": [len(answer.records) for answer in answers],
        "known": {spoken(row) for row in records} == {spoken(row) for row in batch.records},
        "replied": all(Flag.REPLIED in flags(row) for row in records),
        "left": len(pipeline.suspects(1)),
        "last seen": (pipeline.table.flows["last_ns"][suspects] == last_seen).all(),
    }


@pytest.mark.root
def test_flows_whose_answer_was_not_seen_are_cleared_by_the_kernel_in_turn():
    assert inside(answered_unseen) == {
        "suspects": 8,
        "asked": [5, 5],
        "known": True,
        "replied": True,
        "left": 0,
        "last seen": True,
    }
