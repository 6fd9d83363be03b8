"""``make soak [SEED=n] [EVENTS=n]``: the compiled core beside the oracle over many random streams."""

import sys
import time

from side_by_side import CompiledEngine, TightEngine, compare

from trading.exchange.compiled.layout import Model

EVERY_S = 10.0


def main(seed: int, wanted: int) -> None:
    began_s = told_s = time.monotonic()
    events = streams = 0
    while events < wanted:
        batch = (1, 13, 400)[seed % 3]
        tight = seed % 7 == 3  # such a one is not saved
        save_every = 0 if tight else (0, 400)[seed % 2]
        made = TightEngine if tight else CompiledEngine
        count = 2_000 if batch == 1 else 6_000
        events += compare(seed, count, Model(seed // 3 % 3), batch=batch, save_every=save_every, made=made)
        seed += 1
        streams += 1
        if time.monotonic() - told_s > EVERY_S:
            told_s = time.monotonic()
            print(f"{events:,} events of {streams} streams agree ({told_s - began_s:.0f} s)", flush=True)  # noqa: T201
    print(f"{events:,} events of {streams} streams agree, the last with seed {seed - 1}.")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
