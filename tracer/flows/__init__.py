"""Flows: correlate every observation with the one row of its flow.

``store`` owns rows and keys; ``mappings`` takes what the kernel decided, ``packets``
what was seen on interfaces, ``pairs`` what that tells of translations, ``tunnels`` what
they were inside, ``evidence`` refusals and drops; ``lives`` and ``former`` tell two connections on
the same ports apart; ``state`` sums up; ``table`` puts them together.
Everything works on whole columns of records.
"""

from tracer.flows.table import FlowTable

__all__ = ["FlowTable"]
