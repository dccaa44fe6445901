"""What a recording may say: packets shortened, addresses and names replaced."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.cells import Naming
from tracer.cluster.model import Cluster
from tracer.events import EventBatch
from tracer.node.model import NodeState


class Privacy:
    """Everything as it is."""

    anonymizes = False

    def batch(self, batch: EventBatch) -> EventBatch:
        """A batch as it may be seen."""
        return batch

    def node(self, node: NodeState) -> NodeState:
        """A node's state as it may be seen."""
        return node

    def cluster(self, cluster: Cluster) -> Cluster:
        """A cluster as it may be seen."""
        return cluster

    def name(self, name: str) -> str:
        """The name of a node as it may be seen."""
        return name

    def shown(
        self, flows: npt.NDArray[np.void], naming: Naming
    ) -> tuple[npt.NDArray[np.void], Naming]:
        """Rows of dtype ``FLOW``, and their names, as they may be seen."""
        return flows, naming
