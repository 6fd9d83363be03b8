"""The step between servers and processes: roles, databases, migrations, and at the very first start the demo floor."""

import sys

from trading.bootstrap import first_start
from trading.config import Settings
from trading.domain.errors import TradefloorError


def main() -> int:
    """``python -m trading.processes.first_start``: exit status 0 when the database is ready, 1 with one line if not."""
    try:
        first_start(Settings())
    except TradefloorError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
