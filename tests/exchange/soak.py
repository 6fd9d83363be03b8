"""``make soak [SEED=n] [EVENTS=n]``: the compiled core beside the oracle over many random streams."""

import sys
import time

from side_by_side import compare

from trading.exchange.compiled.layout import Model


def main(seed: int, wanted: int) -> None:
    began_s, events, streams = time.monotonic(), 0, 0
    while events < wanted:
        batch = (1, 13, 400)[seed % 3]
        count, save_every = 2_000 if batch == 1 else 6_000, (0, 400)[seed % 2]
        events += compare(seed, count, Model(seed // 3 % 3), batch=batch, save_every=save_every)
        seed += 1
        streams += 1
        if streams % 25 == 0:
            print(f"{events:,} events of {streams} streams agree ({time.monotonic() - began_s:.0f} s)", flush=True)  # noqa: T201
    print(f"{events:,} events of {streams} streams agree, the last with seed {seed - 1}.")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
