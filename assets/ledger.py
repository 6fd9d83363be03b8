"""The night's reconciliation of the ledger. While it breaks, no report is made."""

from collections.abc import Iterator

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
    for found in report.breaks:
        context.log.error(f"break: {found}")
    counts = pd.DataFrame({"looked at": list(report.counts), "rows": list(report.counts.values())})
    breaks = pd.DataFrame([dict(found) for found in report.breaks])
    return MaterializeResult(
        metadata={"breaks": len(report.breaks), "counts": show.table(counts)},
        check_results=[
            AssetCheckResult(
                passed=report.ok,
                check_name="no_breaks",
                severity=AssetCheckSeverity.ERROR,
                description="The books balance." if report.ok else f"{len(report.breaks)} breaks.",
                metadata={"breaks": show.table(breaks) if len(breaks) else "none"},
            )
        ],
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
    for found in parity.breaks:
        context.log.error(f"break: {found}")
    breaks = pd.DataFrame([dict(found) for found in parity.breaks])
    return MaterializeResult(
        metadata={
            "inputs replayed": parity.inputs,
            "fills compared": parity.fills,
            "from input": parity.first_seq,
            "to input": parity.last_seq,
        },
        check_results=[
            AssetCheckResult(
                passed=parity.ok,
                check_name="fills_identical",
                severity=AssetCheckSeverity.ERROR,
                description="Every fill came out again." if parity.ok else f"{len(parity.breaks)} differences.",
                metadata={"breaks": show.table(breaks) if len(breaks) else "none"},
            )
        ],
    )


@asset(
    group_name=GROUP,
    deps=[fill_parity],
    kinds={"parquet"},
    owners=["team:operations"],
    tags={"domain": "ledger"},
    description="Inputs older than an hour, moved from the database to immutable segments in the lake.",
)
def archived_log(floor: ResourceParam[Floor]) -> MaterializeResult:
    """Archive what the replay has proven."""
    return MaterializeResult(metadata={"chunks moved": night.archive_log(floor, SYSTEM)})


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
            "equity": show.lines("Equity of the night's backtests, USD", curves, log=True),
        }
    )


def _row(summary: research_service.BacktestSummary) -> Iterator[tuple[str, object]]:
    yield "strategy", summary.name
    yield "from", summary.first
    yield "to", summary.last
    for name in ("total_return", "cagr", "sharpe", "max_drawdown", "turnover", "hit_rate"):
        yield name, summary.metrics[name]
    yield "fees", (summary.metrics["fees"] or 0) / 10**summary.scale
