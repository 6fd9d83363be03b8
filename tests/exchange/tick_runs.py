"""Inputs as they were before neighbouring ticks became runs."""

from collections.abc import Iterable, Iterator

from trading.exchange.messages import Input, Run, Tick


def one_by_one(steps: Iterable[Input | Run]) -> Iterator[Input]:
    for step in steps:
        if isinstance(step, Input):
            yield step
            continue
        for seq, row in enumerate(step.ticks.tolist(), step.seq):
            yield Input(seq, step.ts_ns, Tick(*row[:3], *row[4:]))
