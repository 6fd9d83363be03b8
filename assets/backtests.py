"""Two strategies traded through the exchange engine, and a quick sweep of one's parameters."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetsDefinition,
    MaterializeResult,
    ResourceParam,
    asset,
    asset_check,
)

from assets import show
from assets.bars import validated_bars
from assets.models import MODEL, model_signals
from assets.research_universe import daily_bars
from assets.resources import Research
from trading.backtest.engine import run
from trading.backtest.metrics import drawdowns
from trading.backtest.result import USD, BacktestResult, Costs, us_equity
from trading.backtest.sweep import sma_sweep
from trading.services import research as research_service
from trading.services.access import SYSTEM
from trading.services.floor import Floor
from trading.strategy.library.model_signals import ModelSignals
from trading.strategy.library.sma_cross import SmaCross

GROUP = "backtests"
OWNERS = ["team:research"]
FAST, SLOW = (10, 20, 30, 50), (50, 100, 150, 200)
FEE_PPM, SLIPPAGE_PPM = 100, 200


@asset(
    group_name=GROUP,
    deps=[validated_bars],
    kinds={"python"},
    owners=OWNERS,
    tags={"domain": "research"},
    description="SMA 20/100 cross on every symbol in equal shares: next open, fees, spread, 2.5 % of volume.",
)
def backtest_sma_cross(floor: ResourceParam[Floor], research: ResourceParam[Research]) -> MaterializeResult:
    """Run and keep the backtest."""
    bars = daily_bars(floor, research.source, research.minimum_bars)
    strategy = SmaCross(tuple(bars))
    return _traded(floor, research, strategy, bars, {"fast": strategy.fast, "slow": strategy.slow})


@asset(
    group_name=GROUP,
    deps=[model_signals],
    kinds={"python"},
    owners=OWNERS,
    tags={"domain": "research"},
    description="The model's out-of-sample probabilities traded: in at 0.55, out at 0.50, with the same costs.",
)
def backtest_model_signals(floor: ResourceParam[Floor], research: ResourceParam[Research]) -> MaterializeResult:
    """Run and keep the backtest."""
    signals = floor.lake.read("signals", MODEL)
    bars = {
        symbol: frame.merge(
            signals.loc[signals["symbol"] == symbol, ["ts", "probability_up"]], on="ts", how="left", validate="1:1"
        )
        for symbol, frame in daily_bars(floor, research.source, research.minimum_bars).items()
    }
    strategy = ModelSignals(tuple(bars))
    return _traded(floor, research, strategy, bars, {"enter": strategy.enter, "leave": strategy.leave})


def _traded(
    floor: Floor,
    research: Research,
    strategy: SmaCross | ModelSignals,
    bars: Mapping[str, pd.DataFrame],
    params: Mapping[str, Any],
) -> MaterializeResult:
    costs = Costs()
    instruments = {symbol: us_equity(symbol) for symbol in bars}
    cash = research.cash * 10**USD.scale
    result: BacktestResult = run(strategy, bars, instruments, cash=cash, currency=USD, costs=costs)
    kept = research_service.keep_backtest(floor, SYSTEM, result, list(bars), {**params, **asdict(costs)})
    equity = result.equity.set_index("ts")
    curves = {"strategy": equity["equity"] / 10**USD.scale, "held in equal parts": equity["benchmark"] / 10**USD.scale}
    below = pd.Series(drawdowns(equity["equity"].to_numpy(dtype=float)), index=equity.index)
    numbers = result.metrics.as_dict()
    shown = {name: float(value) for name, value in numbers.items() if name != "fees"}
    shown["fees in USD"] = numbers["fees"] / 10**USD.scale
    return MaterializeResult(
        data_version=show.version([kept.sha256]),
        metadata={
            "dagster/row_count": len(equity),
            "fills": len(result.fills),
            "total_return": round(numbers["total_return"], 4),
            "sharpe": round(numbers["sharpe"], 4),
            "max_drawdown": round(numbers["max_drawdown"], 4),
            "metrics": show.table(pd.DataFrame({"metric": list(shown), "value": list(shown.values())})),
            "equity": show.lines(f"{strategy.name}: equity in USD", curves),
            "drawdown": show.lines("Drawdown", {"strategy": below}, percent=True),
        },
    )


def _books_balance(of: AssetsDefinition, name: str) -> Any:
    @asset_check(
        asset=of,
        name=f"{name}_books_balance",
        blocking=True,
        description="Cash never below zero, equity is cash and positions, and no fill came from the bar of its signal.",
    )
    def check(floor: ResourceParam[Floor]) -> AssetCheckResult:
        found = research_service.backtest(floor, SYSTEM, name)
        equity = found.equity
        unbalanced = int((equity["equity"] != equity["cash"] + equity["positions"]).sum())
        overdrawn = int((equity["cash"] < 0).sum())
        early = int((found.fills["ts"] <= equity["ts"].iloc[0]).sum())
        return AssetCheckResult(
            passed=len(equity) > 0 and unbalanced == overdrawn == early == 0,
            severity=AssetCheckSeverity.ERROR,
            metadata={"bars": len(equity), "unbalanced": unbalanced, "overdrawn": overdrawn, "early_fills": early},
        )

    return check


sma_cross_books_balance = _books_balance(backtest_sma_cross, "sma_cross")
model_signals_books_balance = _books_balance(backtest_model_signals, "model_signals")


@asset(
    group_name=GROUP,
    deps=[validated_bars],
    kinds={"vectorbt"},
    owners=OWNERS,
    tags={"domain": "research"},
    description="SMA windows compared with vectorbt, fees and slippage on: a rough ranking, each symbol by itself.",
)
def sweep_sma_cross(floor: ResourceParam[Floor], research: ResourceParam[Research]) -> MaterializeResult:
    """Run and keep the sweep."""
    bars = daily_bars(floor, research.source, research.minimum_bars)
    table = sma_sweep(bars, FAST, SLOW, fee_ppm=FEE_PPM, slippage_ppm=SLIPPAGE_PPM)
    params = {"fee_ppm": FEE_PPM, "slippage_ppm": SLIPPAGE_PPM, "symbols": list(bars)}
    kept = research_service.keep_sweep(floor, SYSTEM, "sma_cross", table, params)
    best = table.assign(pair=table["fast"].astype(str) + "/" + table["slow"].astype(str)).set_index("pair")["sharpe"]
    return MaterializeResult(
        data_version=show.version([kept.sha256]),
        metadata={
            "dagster/row_count": len(table),
            "combinations": show.table(table),
            "sharpe": show.bars("Sharpe by fast/slow window, mean over symbols", best),
        },
    )
