"""Take a user's file of bars into the lake: judged by named rules, bad rows put aside, bad files refused whole.

Bars that the lake already has for a series are merged by time: the newer file wins, and each value it changes is
reported as a ``revision``. Rows put aside are kept in the dataset ``quarantine`` as they stood in the file.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import trading.market
from trading.config import Settings
from trading.domain.errors import TradefloorError
from trading.market.bar_parsing import ParsedTable, parse
from trading.market.bar_table import BarKind, FileRefused, RawTable
from trading.market.findings import RULES_VERSION, Finding, Severity, by_rule
from trading.market.names import name_fault
from trading.market.resolution import resolution_of
from trading.market.validation import Validation, date_texts, validate
from trading.services.access import Actor, Reach, Role, operation
from trading.services.floor import Floor

SHIPPED = Path(trading.market.__file__).parent / "shipped" / "us_equity_daily.csv.gz"
SHIPPED_SOURCE = "wiki"
RESERVED_SOURCES = frozenset({"sim", SHIPPED_SOURCE})
QUARANTINE = "quarantine"
# A file of which most rows are bad is the wrong file or in the wrong format, and its good rows are not to be trusted
# either. Under this many rows the share says nothing.
MOSTLY_BAD_SHARE = 0.5
MOSTLY_BAD_ROWS_MIN = 20
LISTED_ROWS_MAX = 10_000
"""A report lists at most so many rows for each rule; the counts are of all."""

_STAFF = {Role.ADMIN: Reach.NO_PORTFOLIO, Role.SYSTEM: Reach.NO_PORTFOLIO}


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of one file. Counts are rows; a file refused whole counts all its rows as ``refused``.

    ``series`` has ``{series, accepted, quarantined, first, last, revised}`` for each series it holds, ``findings`` what
    `trading.market.findings.by_rule` gives, ``refusal`` ``{code, reason}`` or None.
    """

    file: str
    source: str
    sha256: str
    kind: str
    taken: bool
    already_taken: bool
    rows: int
    accepted: int
    quarantined: int
    refused: int
    symbols: tuple[str, ...]
    series: tuple[dict[str, Any], ...]
    ignored_columns: tuple[str, ...]
    findings: dict[str, Any]
    refusal: dict[str, str] | None
    asked_symbol: str = ""
    rules_version: int = RULES_VERSION
    v: int = 1

    def as_json(self) -> dict[str, Any]:
        """The report as plain lists and dictionaries, the shape ``tradefloor ingest --json`` prints."""
        plain: dict[str, Any] = _storable(asdict(self))
        return plain

    def summary(self) -> str:
        """One line for people."""
        if self.refusal is not None:
            return f"{self.file}: refused, {self.refusal['reason']} [{self.refusal['code']}]"
        names = ", ".join(str(entry["series"]) for entry in self.series[:3])
        more = f" and {len(self.series) - 3} more" if len(self.series) > 3 else ""
        again = ", already taken before" if self.already_taken else ""
        return f"{self.file}: {self.accepted} rows accepted, {self.quarantined} quarantined as {names}{more}{again}"


@dataclass(frozen=True, slots=True)
class _Judged:
    """One file after validation: per symbol its resolution and outcome, and the findings that belong to no symbol."""

    table: RawTable
    parsed: ParsedTable
    outcomes: dict[str, tuple[str, Validation]]
    loose: tuple[Finding, ...]

    @property
    def findings(self) -> list[Finding]:
        return [*self.loose, *(f for _, outcome in self.outcomes.values() for f in outcome.findings)]

    @property
    def quarantined(self) -> dict[int, list[Finding]]:
        """Findings of each row put aside."""
        rows: dict[int, list[Finding]] = {}
        for finding in self.findings:
            if finding.severity is Severity.QUARANTINE:
                rows.setdefault(finding.row, []).append(finding)
        return rows


@operation(_STAFF)
def ingest_path(
    floor: Floor,
    actor: Actor,
    path: Path,
    *,
    symbol: str | None = None,
    source: str = "inbox",
    zone: str | None = None,
) -> IngestReport:
    """Take one file, CSV or Parquet. A file that cannot be taken comes back as a report with ``refusal``, not an error.

    ``symbol`` names the one symbol of a file that does not; ``zone`` (``Europe/Berlin``) the time zone of times that
    state none. Raises `Unavailable` where the lake or its database cannot be reached; then nothing of the file is kept,
    or only whole series of it, and taking it again completes it.
    """
    del actor
    fault = name_fault(source)
    if fault or source.lower() in RESERVED_SOURCES:
        reason = f"{source[:40]!r} cannot be a source: {fault or 'the name is reserved'}"
        return _refused(floor, path, source, symbol, FileRefused("bad_source", reason))
    return _ingest(floor, path, symbol, source, zone)


@operation(_STAFF)
def ingest_inbox(floor: Floor, actor: Actor, inbox: Path | None = None) -> list[IngestReport]:
    """Take every settled file of the inbox and move it to ``taken/`` or ``refused/`` with its report beside it.

    One file's trouble does not stop the others; where lake or database are away the file stays for the next time and
    `Unavailable` is raised at the end.
    """
    del actor
    folder = inbox if inbox is not None else Settings().inbox_dir
    reports: list[IngestReport] = []
    failure: TradefloorError | None = None
    for path in floor.lake.sources.settled_files(folder, floor.clock.now()):
        try:
            report = _ingest(floor, path, None, "inbox", None)
            floor.lake.sources.file_away(path, taken=report.taken, report=report.as_json())
            reports.append(report)
        except TradefloorError as error:
            failure = error
    if failure is not None:
        raise failure
    return reports


@operation(_STAFF)
def ingest_shipped(floor: Floor, actor: Actor) -> IngestReport:
    """Take the daily bars that ship with Tradefloor (AAPL, FB, GOOG, IBM, MSFT), as source ``wiki``. Idempotent."""
    del actor
    return _ingest(floor, SHIPPED, None, SHIPPED_SOURCE, None)


def _ingest(floor: Floor, path: Path, symbol: str | None, source: str, zone: str | None) -> IngestReport:
    sha256 = ""
    try:
        sha256 = floor.lake.sources.sha256(path)
        before = _taken_before(floor, sha256, source, symbol)
        if before is not None:
            return before
        table = floor.lake.sources.read(path)
        sha256 = table.sha256
        judged = _judge(table, symbol, zone, pd.Timestamp(floor.clock.now()))
        verdict = _verdict(judged)
        if verdict is not None:
            return _refused(floor, path, source, symbol, verdict, sha256, judged)
    except FileRefused as refusal:
        return _refused(floor, path, source, symbol, refusal, sha256)
    return _take(floor, path.name, source, symbol, judged)


def _taken_before(floor: Floor, sha256: str, source: str, symbol: str | None) -> IngestReport | None:
    """The report of this very file taken before, by the same rules and under the same names, if its bars are there."""
    for report in floor.lake.taken_reports(sha256):
        same = (report["source"], report["asked_symbol"], report["rules_version"])
        if same != (source, (symbol or "").strip().upper(), RULES_VERSION):
            continue
        if all(floor.lake.files(report["kind"], entry["series"]) for entry in report["series"]):
            known = {name: report[name] for name in IngestReport.__dataclass_fields__ if name in report}
            lists = {name: tuple(known[name]) for name in ("symbols", "series", "ignored_columns")}
            return IngestReport(**{**known, **lists, "already_taken": True})
    return None


def _judge(table: RawTable, symbol: str | None, zone: str | None, now: pd.Timestamp) -> _Judged:
    parsed = parse(table, symbol=symbol, zone=zone)
    outcomes: dict[str, tuple[str, Validation]] = {}
    groups = [(str(name), rows) for name, rows in parsed.rows.groupby("symbol", sort=False) if name]
    placed: set[int] = set()
    for name, rows in groups:
        mine = set(rows["row"].tolist())
        placed |= mine
        faults = [finding for finding in parsed.findings if finding.row in mine]
        outcome = validate(
            rows.drop(columns="symbol"),
            parsed.layout.kind,
            now=now,
            date_only=parsed.date_only,
            faults=faults,
            symbol=name if len(groups) > 1 else "",
        )
        times = outcome.clean["ts"] if len(outcome.clean) else rows["ts"]
        outcomes[name] = (resolution_of(times, date_only=parsed.date_only), outcome)
    loose = tuple(finding for finding in parsed.findings if finding.row not in placed)
    return _Judged(table, parsed, outcomes, loose)


def _verdict(judged: _Judged) -> FileRefused | None:
    """Refuse a file that has no good row, or too few to be trusted."""
    rows, bad = len(judged.parsed.rows), len(judged.quarantined)
    if bad < rows and (rows < MOSTLY_BAD_ROWS_MIN or bad <= MOSTLY_BAD_SHARE * rows):
        return None
    counts: dict[str, int] = {}
    for findings in judged.quarantined.values():
        for rule in {finding.rule for finding in findings}:
            counts[rule] = counts.get(rule, 0) + 1
    worst = max(counts, key=lambda rule: counts[rule])
    code = "all_bad" if bad == rows else "mostly_bad"
    return FileRefused(code, f"{bad} of {rows} rows are bad, most often by the rule {worst} ({counts[worst]} rows)")


def _take(floor: Floor, file: str, source: str, symbol: str | None, judged: _Judged) -> IngestReport:
    kind = judged.parsed.layout.kind
    entries: list[dict[str, Any]] = []
    revisions: list[Finding] = []
    _keep_quarantined(floor, file, source, judged)
    for name, (resolution, outcome) in judged.outcomes.items():
        if not len(outcome.clean):
            continue
        series = f"{source}/{name}/{resolution}"
        found = _merge(floor, kind, series, judged.table.sha256, outcome, judged.parsed.date_only)
        revisions += found
        texts = date_texts(outcome.clean["ts"], judged.parsed.date_only)
        entries.append(
            {
                "series": series,
                "accepted": len(outcome.clean),
                "quarantined": len(outcome.quarantined_rows),
                "first": str(texts.iloc[0]),
                "last": str(texts.iloc[-1]),
                "revised": len(found),
            }
        )
    rows, bad = len(judged.parsed.rows), len(judged.quarantined)
    report = IngestReport(
        file=file,
        source=source,
        sha256=judged.table.sha256,
        kind=str(kind),
        taken=True,
        already_taken=False,
        rows=rows,
        accepted=rows - bad,
        quarantined=bad,
        refused=0,
        symbols=tuple(judged.outcomes),
        series=tuple(entries),
        ignored_columns=judged.parsed.layout.ignored,
        findings=by_rule([*judged.findings, *revisions], LISTED_ROWS_MAX),
        refusal=None,
        asked_symbol=(symbol or "").strip().upper(),
    )
    floor.lake.record_ingest(report.as_json())
    return report


def _merge(
    floor: Floor, kind: BarKind, series: str, sha256: str, outcome: Validation, date_only: bool
) -> list[Finding]:
    """Put clean bars into their series; bars of the same time are replaced, and reported where a value changes."""
    new = outcome.clean.drop(columns="row").dropna(axis="columns", how="all")
    with floor.lake.changing(str(kind), series):
        files = floor.lake.files(str(kind), series)
        old = floor.lake.read(str(kind), series) if files else pd.DataFrame()
        found = _revisions(old, outcome.clean, date_only) if len(old) else []
        merged = pd.concat([old[~old["ts"].isin(new["ts"])], new]) if len(old) else new
        taken = [digest for file in files for digest in file.meta.get("files", [])]
        meta = {"files": list(dict.fromkeys([*taken, sha256])), "rules_version": RULES_VERSION}
        floor.lake.write(str(kind), series, merged, meta=meta, replace=True)
    return found


def _revisions(old: pd.DataFrame, clean: pd.DataFrame, date_only: bool) -> list[Finding]:
    names = [name for name in clean.columns if name not in ("row", "ts") and name in old.columns]
    both = clean.merge(old, on="ts", how="inner", suffixes=("", "_old"))
    texts = date_texts(both["ts"], date_only)
    changed: dict[int, list[str]] = {}
    for name in names:
        was, now = both[f"{name}_old"], both[name]
        for at in both.index[(was != now) & ~(was.isna() & now.isna())]:
            changed.setdefault(int(at), []).append(f"{name} {was[at]:.10g} -> {now[at]:.10g}")
    return [
        Finding("revision", int(both["row"][at]), str(texts[at]), "; ".join(words)) for at, words in changed.items()
    ]


def _keep_quarantined(floor: Floor, file: str, source: str, judged: _Judged) -> None:
    """Rows put aside go to the lake as they stood in the file, with every reason."""
    symbols = judged.parsed.rows["symbol"]
    records: dict[str, list[dict[str, Any]]] = {}
    for row, findings in sorted(judged.quarantined.items()):
        symbol = str(symbols.iloc[row - 1])
        resolution = judged.outcomes[symbol][0] if symbol in judged.outcomes else "unknown"
        cells = judged.table.ragged.get(row - 1)
        original = judged.table.frame.iloc[row - 1].to_dict() if cells is None else list(cells)
        records.setdefault(f"{source}/{symbol or '_'}/{resolution}", []).append(
            {
                "file": file,
                "sha256": judged.table.sha256,
                "row": row,
                "ts": judged.parsed.rows["ts"].iloc[row - 1],
                "rules": ",".join(dict.fromkeys(finding.rule for finding in findings)),
                "reasons": "; ".join(finding.reason for finding in findings),
                "original": json.dumps(original, default=str, ensure_ascii=False),
            }
        )
    for series, rows in records.items():
        frame = pd.DataFrame(rows)
        frame["ts"] = pd.to_datetime(frame["ts"], utc=True).dt.as_unit("ns")
        floor.lake.write(QUARANTINE, series, frame, meta={"files": [judged.table.sha256]})


def _refused(
    floor: Floor,
    path: Path,
    source: str,
    symbol: str | None,
    refusal: FileRefused,
    sha256: str = "",
    judged: _Judged | None = None,
) -> IngestReport:
    rows = len(judged.parsed.rows) if judged else 0
    findings: Sequence[Finding] = judged.findings if judged else ()
    report = IngestReport(
        file=path.name,
        source=source[:80],
        sha256=sha256,
        kind=str(judged.parsed.layout.kind) if judged else "",
        taken=False,
        already_taken=False,
        rows=rows,
        accepted=0,
        quarantined=0,
        refused=rows,
        symbols=tuple(judged.outcomes) if judged else (),
        series=(),
        ignored_columns=judged.parsed.layout.ignored if judged else (),
        findings=by_rule(findings, LISTED_ROWS_MAX),
        refusal={"code": refusal.code, "reason": str(refusal)},
        asked_symbol=(symbol or "").strip().upper()[:80],
    )
    floor.lake.record_ingest(report.as_json())
    return report


def _storable(value: Any) -> Any:
    """The value as JSON and Postgres can hold it: lists for tuples, and no text with NUL or half characters, which
    file names may have.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value
