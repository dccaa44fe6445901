"""Sum up the evidence of a row into one state."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracer.events import Protocol
from tracer.flow import Flows, Rows, Seen, State

ANSWER = Seen.ANSWER_BACKEND | Seen.ANSWER_CLIENT | Seen.REPLIED
REFUSAL = Seen.RST_BEFORE_ANSWER | Seen.ICMP_REFUSED | Seen.NO_DESTINATION
SPOKEN = Seen.ASSURED | Seen.ANSWER_CLIENT
HURT = Seen.DROPPED | Seen.CT_FAILED | Seen.NO_ROUTE


def _any(seen: npt.NDArray[np.uint32], bits: Seen) -> npt.NDArray[np.bool_]:
    return (seen & np.uint32(bits)) != 0


def settle(flows: Flows, rows: Rows) -> None:
    """Derive ``state`` of these rows from their ``seen`` bits; later lines win.

    A refusal counts only if nothing answered: retries and half-translated answers
    leave refusals behind on flows that work. Conntrack calls a reset a reply too,
    so a reset that answers the request itself beats its word.
    """
    seen = flows["seen"][rows]
    tcp = flows["protocol"][rows] == Protocol.TCP
    answered = _any(seen, ANSWER)
    spoke = _any(seen, Seen.ANSWER_BACKEND | Seen.ANSWER_CLIENT)
    state = np.full(len(rows), State.NEW, dtype=np.uint8)
    state[answered] = State.ANSWERED
    state[answered & tcp & _any(seen, SPOKEN)] = State.ESTABLISHED
    state[answered & _any(seen, Seen.FIN)] = State.CLOSING
    ended = _any(seen, Seen.ENDED)
    reset = _any(seen, Seen.RST_BACKEND | Seen.RST_CLIENT | Seen.RST_LOCAL)
    state[answered & reset] = State.CLOSED
    state[ended & (answered | ~tcp)] = State.CLOSED
    state[ended & ~answered & tcp] = State.LOST
    state[~answered & _any(seen, HURT)] = State.LOST
    refused = _any(seen, REFUSAL) & ~answered | _any(seen, Seen.RST_BEFORE_ANSWER) & ~spoke
    state[refused] = State.REFUSED
    flows["state"][rows] = state
