"""The night's reconciliation of the ledger and its fills. While one of them breaks, no report is made."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    MaterializeResult,
    ResourceParam,
    asset,
)

from assets import show
from assets.backtests import backtest_model_signals, backtest_sma_cross, sweep_sma_cross
from trading.services import night, verify
from trading.services import research as research_service
from trading.services.access import SYSTEM
from trading.services.floor import Floor

GROUP = "ledger"


@asset(
    group_name=GROUP,
    kinds={"postgres"},
    owners=["team:operations"],
    tags={"domain": "ledger"},
    description="Balances, holds, orders, fills and lots recomputed from the floor's records and compared: "
    "a difference of one minor unit is a break.",
    check_specs=[
        AssetCheckSpec(
            "no_breaks",
            asset="ledger_reconciliation",
            blocking=True,
            description="No invariant of ledger, holds, orders, fills or positions is violated.",
        )
    ],
)
def ledger_reconciliation(context: AssetExecutionContext, floor: ResourceParam[Floor]) -> MaterializeResult:
    """Verify the live floor and keep the result where the admin's screen shows it."""
    report = verify.run(floor, SYSTEM, "nightly")
    counts = pd.DataFrame({"looked at": list(report.counts), "rows": list(report.counts.values())})
    return MaterializeResult(
        metadata={"breaks": len(report.breaks), "counts": show.table(counts)},
        check_results=[_judged(context, "no_breaks", report.breaks, "The books balance.")],
    )


@asset(
    group_name=GROUP,
    kinds={"postgres"},
    owners=["team:operations"],
    tags={"domain": "ledger"},
    description="The day's logged inputs put through a fresh engine: every fill must come out as it was booked.",
    check_specs=[
        AssetCheckSpec(
            "fills_identical",
            asset="fill_parity",
            blocking=True,
            description="Outputs, states and fills of the replay equal those of the live broker, bit for bit.",
        )
    ],
)
def fill_parity(context: AssetExecutionContext, floor: ResourceParam[Floor]) -> MaterializeResult:
    """Replay and compare."""
    parity = night.replay(floor, SYSTEM)
    return MaterializeResult(
        metadata={
            "inputs replayed": parity.inputs,
            "fills compared": parity.fills,
            "from input": parity.first_seq,
            "to input": parity.last_seq,
        },
        check_results=[_judged(context, "fills_identical", parity.breaks, "Every fill came out again.")],
    )


@asset(
    group_name=GROUP,
    deps=[fill_parity],
    kinds={"parquet"},
    owners=["team:operations"],
    tags={"domain": "ledger"},
    description="Inputs older than an hour, moved from the database to immutable segments in the lake; "
    "then files of the lake that nothing names any more are removed.",
)
def archived_log(floor: ResourceParam[Floor]) -> MaterializeResult:
    """Archive what the replay has proven, and tidy up."""
    moved = night.archive_log(floor, SYSTEM)
    return MaterializeResult(metadata={"chunks moved": moved, "files removed": night.tidy_lake(floor, SYSTEM)})


@asset(
    group_name=GROUP,
    deps=[ledger_reconciliation, fill_parity, backtest_sma_cross, backtest_model_signals, sweep_sma_cross],
    kinds={"python"},
    owners=["team:operations"],
    tags={"domain": "ledger"},
    description="One page on the night: strategies side by side. Not made while the ledger has a break.",
)
def nightly_report(floor: ResourceParam[Floor]) -> MaterializeResult:
    """Put the night's results beside each other."""
    rows = [dict(_row(summary)) for summary in research_service.backtests(floor, SYSTEM)]
    curves = {}
    for row in rows:
        detail = research_service.backtest(floor, SYSTEM, str(row["strategy"]))
        curves[str(row["strategy"])] = detail.equity.set_index("ts")["equity"] / 10**detail.summary.scale
    models = [{"model": model.name, **dict(model.scores)} for model in research_service.models(floor, SYSTEM)]
    return MaterializeResult(
        metadata={
            "strategies": show.table(pd.DataFrame(rows)),
            "models": show.table(pd.DataFrame(models)),
            "equity": show.lines("Equity of the night's backtests, USD", curves),
        }
    )


def _judged(
    context: AssetExecutionContext, check: str, breaks: Sequence[Mapping[str, Any]], good: str
) -> AssetCheckResult:
    """Green without a break; each break in the run's log and all of them beside the check."""
    for found in breaks:
        context.log.error(f"break: {dict(found)}")
    return AssetCheckResult(
        passed=not breaks,
        check_name=check,
        severity=AssetCheckSeverity.ERROR,
        description=good if not breaks else f"{len(breaks)} breaks.",
        metadata={"breaks": show.table(pd.DataFrame([dict(found) for found in breaks])) if breaks else "none"},
    )


def _row(summary: research_service.BacktestSummary) -> Iterator[tuple[str, object]]:
    yield "strategy", summary.name
    yield "from", summary.first
    yield "to", summary.last
    for name in ("total_return", "cagr", "sharpe", "max_drawdown", "turnover", "hit_rate"):
        yield name, summary.metrics[name]
    yield "fees", (summary.metrics["fees"] or 0) / 10**summary.scale
