"""``tradefloor ingest``: files and folders through the ingest service, reported for people or for programs."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from trading.config import Settings
from trading.domain.errors import Invalid
from trading.processes.opening import reachable_database

if TYPE_CHECKING:
    from trading.services.floor import Floor
    from trading.services.ingest import IngestReport

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz", ".parquet", ".pq")
DATES_SHOWN = 5


def ingest_paths(
    given: Settings, paths: Sequence[Path], symbol: str | None, source: str, zone: str | None, as_json: bool
) -> int:
    """Take each file; returns 0 where all were taken, 1 where one was refused.

    Raises `Invalid` where a path is missing or a folder holds nothing to take, before any file is touched.
    """
    files = list(files_of(paths))
    if symbol is not None and len(files) > 1:
        raise Invalid(f"--symbol names the symbol of one file, and these are {len(files)}")
    console = Console(soft_wrap=True)
    reports: list[IngestReport] = []
    with _floor(given) as floor:
        from trading.services.access import SYSTEM
        from trading.services.ingest import ingest_path

        for path in files:
            report = ingest_path(floor, SYSTEM, path, symbol=symbol, source=source, zone=zone)
            reports.append(report)
            if not as_json:
                _show(console, report)
    if as_json:
        print(json.dumps(answer(reports), indent=2))  # noqa: T201 - the answer
    elif len(reports) > 1:
        _show_total(console, reports)
    return 0 if all(report.taken for report in reports) else 1


def files_of(paths: Sequence[Path]) -> Iterator[Path]:
    """Files as given; of a folder, those below it that look like bars, by name."""
    for path in paths:
        if path.is_dir():
            found = [one for one in sorted(path.rglob("*")) if one.is_file() and one.name.lower().endswith(SUFFIXES)]
            if not found:
                raise Invalid(f"{path} holds no file that ends in {', '.join(SUFFIXES)}")
            yield from found
        elif path.exists():
            yield path
        else:
            raise Invalid(f"There is no file {path}")


def answer(reports: Sequence["IngestReport"]) -> dict[str, Any]:
    """One file's report as it is; of several, the totals and ``files``."""
    if len(reports) == 1:
        return reports[0].as_json()
    totals = {name: sum(getattr(report, name) for report in reports) for name in ("accepted", "quarantined", "refused")}
    files = [report.as_json() for report in reports]
    return {"v": 1, "taken": all(report.taken for report in reports), **totals, "files": files}


@contextmanager
def _floor(given: Settings) -> Iterator["Floor"]:
    with reachable_database(given) as settings:
        # The wiring brings pandas and more; a wrong call is answered before that.
        from trading.bootstrap import open_floor

        with open_floor(settings) as floor:
            yield floor


def _show(console: Console, report: "IngestReport") -> None:
    console.print(report.summary(), style=None if report.taken else "red", highlight=False, markup=False)
    for rule, found in report.findings.items():
        dates = [str(row["date"]) for row in found["rows"][:DATES_SHOWN]]
        more = f" and {found['count'] - len(dates)} more" if found["count"] > len(dates) else ""
        line = f"  {found['severity']:10} {rule}: {found['count']} ({', '.join(dates)}{more})"
        console.print(line, style="dim", highlight=False, markup=False)


def _show_total(console: Console, reports: Sequence["IngestReport"]) -> None:
    taken = sum(report.taken for report in reports)
    accepted, quarantined = (sum(getattr(report, name) for report in reports) for name in ("accepted", "quarantined"))
    console.print(
        f"{taken} of {len(reports)} files taken: {accepted:,} rows accepted, {quarantined:,} quarantined.",
        highlight=False,
    )
