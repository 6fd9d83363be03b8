"""The ledger's head kept outside the database: ``ledger-head.jsonl``, one line a head, appended and synced.

Who can rewrite the whole chain of blocks in the database can't rewrite this file with it; `tradefloor verify` compares
the two. A line that a crash cut short counts as not written.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from trading.services.ports.desk import Head


class HeadFile:
    """Implements `trading.services.ports.desk.HeadLog`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def heads(self) -> Sequence[Head]:
        """See `HeadLog`."""
        try:
            text = self._path.read_text()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind("\n") + 1]
        rows = [json.loads(line) for line in whole.splitlines() if line.endswith("}")]
        return [Head(row["block"], row["hash"], row["at_ns"]) for row in rows]

    def append(self, head: Head) -> None:
        """See `HeadLog`."""
        line = json.dumps({"v": 1, "block": head.block_id, "hash": head.hash, "at_ns": head.at_ns}) + "\n"
        new = not self._path.exists()
        with self._path.open("ab+") as file:
            if not new and file.seek(0, os.SEEK_END) and not self._ends_whole():
                file.write(b"\n")
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        if new:
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
