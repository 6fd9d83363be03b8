"""``python -m trading.processes.compile``: compile what the processes load, so that a first start need not wait for it.

Compiled code is kept beside its source and compiled again where that has changed. A process that finds none compiles
for itself: this only moves the wait from the first start to the installation.
"""

import sys

from trading.exchange.engine import warm_up
from trading.market.bars import BarBuilder


def main() -> int:
    """Compile the exchange and the bars."""
    warm_up()
    BarBuilder()
    return 0


if __name__ == "__main__":
    sys.exit(main())
