"""What the pipelines watch."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from dagster import DefaultSensorStatus, RunRequest, SensorEvaluationContext, SkipReason, sensor

from pipelines.jobs import take_inbox
from trading.config import Settings


def waiting_files(inbox: Path) -> list[str]:
    """A key for each file in the inbox: name, time of change and size, so that a file changed or replaced is new."""
    if not inbox.is_dir():
        return []
    found = []
    for path in sorted(inbox.iterdir()):
        if not path.name.startswith(".") and not path.is_symlink() and path.is_file():
            stat = path.stat()
            found.append(f"{path.name}:{stat.st_mtime_ns}:{stat.st_size}")
    return found


@sensor(
    job=take_inbox,
    minimum_interval_seconds=10,
    default_status=DefaultSensorStatus.RUNNING,
    description="A file in data/inbox starts the job that takes it.",
)
def inbox_sensor(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
    """One run for all files that wait; a set of files that has been asked for is not asked for again.

    A file is only looked at once it has been the same for two evaluations: a copy in progress is left alone.
    """
    waiting = waiting_files(Settings().inbox_dir)
    before = set((context.cursor or "").split("\n"))
    context.update_cursor("\n".join(waiting))
    settled = [key for key in waiting if key in before]
    if settled:
        key = settled[0] if len(settled) == 1 else hashlib.sha256("\n".join(settled).encode()).hexdigest()
        yield RunRequest(run_key=key)
    else:
        yield SkipReason("files are still arriving" if waiting else "the inbox is empty")
