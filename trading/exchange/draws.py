"""Chance as a function: a number that belongs to a seed and a name, whatever was drawn before and whenever it is asked.

A generator's draws depend on how many were taken before. These do not, so a restart, a replay or another order of
arrival finds the same ones.
"""

import hashlib

PPM = 1_000_000
_STEPS = 2**52


def draw_unit(seed: int, *name: int | str) -> float:
    """A number strictly between 0 and 1, evenly spread over all names: a hash's first 52 bits, in the middle of a step.

    The same on every machine: no sum is rounded.
    """
    text = "/".join(str(part) for part in (seed, *name))
    bits = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 12
    return (bits + 0.5) / _STEPS


def draw_ppm(seed: int, *name: int | str) -> int:
    """A whole number from 0 to 999,999."""
    return int(draw_unit(seed, *name) * PPM)
