"""What a snapshot keeps, and how logged inputs are put through an engine again: the broker's restart and the night."""

from collections.abc import Sequence
from dataclasses import dataclass

from trading.exchange.codec import chain_hash, decode
from trading.exchange.engine import Engine
from trading.exchange.messages import Event, Run
from trading.services.ports.broker import LogChunk

_CHAIN_BYTES = 32
NO_CHAIN = bytes(_CHAIN_BYTES)
"""The chain before the first input of an engine revision."""


@dataclass(slots=True)
class FloorState:
    """An engine and the chain of hashes over all inputs and outputs that brought it there."""

    engine: Engine
    chain: bytes = NO_CHAIN

    def save(self) -> bytes:
        """Canonical bytes."""
        return self.chain + self.engine.save()

    @staticmethod
    def load(state: bytes) -> "FloorState":
        """Inverse of `save`. Raises ValueError for another engine revision and for damaged bytes."""
        return FloorState(Engine.load(state[_CHAIN_BYTES:]), state[:_CHAIN_BYTES])

    def replay(self, chunk: LogChunk) -> list[tuple[int, Sequence[Event]]]:
        """Put a chunk of the log through the engine and lengthen the chain; returns inputs with what they caused.

        Raises ValueError where the chunk is damaged or does not follow.
        """
        steps: list[tuple[int, Sequence[Event]]] = []
        for step in decode(chunk.inputs):
            if isinstance(step, Run):
                steps += self.engine.apply_run(step)
            else:
                events = self.engine.apply(step)
                if events:
                    steps.append((step.seq, events))
        self.chain = chain_hash(self.chain, chunk.out_hash, chunk.inputs)
        return steps
