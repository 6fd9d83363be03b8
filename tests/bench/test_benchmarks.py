"""The benchmarks themselves: what they feed, how they judge, and that every figure is still measured."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import __main__ as command
from bench import bars, engine_pypi, engine_twin
from bench.flows import crash, engine, limits_only, mix
from bench.measure import at_least, at_most, in_turns, percentile
from trading.config import PROJECT_ROOT
from trading.exchange.compiled.layout import BUY, Event, Op

NAMES = [
    "engine_batch_vs_cpp", "engine_batch_vs_pypi", "engine_call_vs_pypi", "engine_op_p99_ns", "bars_vs_duckdb",
    "publish_vs_benchmark", "tick_p99_vs_ping", "market_cores_at_10k_ticks",
    "order_path_p50_vs_floor", "order_path_p99_vs_floor", "broker_fills_per_s", "broker_fill_p99_ms",
    "accept_p50_vs_insert", "accept_vs_pgbench", "posting_vs_pgbench",
    "verify_full_s", "verify_incremental_s", "statement_ms",
]  # fmt: skip
needs_a_compiler = pytest.mark.skipif(not shutil.which("g++") or not shutil.which("gcc"), reason="no g++ and gcc here")


def test_the_mix_is_of_60_adds_and_40_cancels_and_every_cancel_finds_its_order() -> None:
    rows = mix(20_000)
    events = engine().apply(rows)
    assert np.mean(rows["op"] == int(Op.CANCEL)) == pytest.approx(0.4, abs=0.02)
    assert not np.any(events["kind"] == int(Event.REJECTED))
    assert np.any(events["kind"] == int(Event.FILL))


def test_a_flow_of_limits_alone_trades_what_the_flow_with_sweeps_trades() -> None:
    rows = crash(20_000, owners=False)
    fills = [
        events[events["kind"] == int(Event.FILL)][["order_id", "maker_id", "price", "qty"]]
        for events in (engine().apply(rows), engine().apply(limits_only(rows)))
    ]
    assert len(fills[0]) > 1_000
    assert np.array_equal(*fills)


def test_the_public_engine_and_ours_have_the_same_book_and_a_difference_is_seen() -> None:
    rows = limits_only(mix(20_000, owners=False))
    calls = [(op, side == BUY, *rest) for op, side, *rest in engine_pypi.calls_of(rows)]
    engine_pypi.compare(rows, calls)
    order = max(number for number, call in enumerate(calls) if call[0] == int(Op.ADD))
    calls[order] = (*calls[order][:3], calls[order][3] + 1, calls[order][4])
    with pytest.raises(RuntimeError, match="differ"):
        engine_pypi.compare(rows, calls)


@needs_a_compiler
def test_the_twin_says_the_same_as_the_core(tmp_path: Path) -> None:
    library, rows = engine_twin.compiled(tmp_path), crash(20_000)
    room = engine_twin.room_of(rows)
    ours = engine_twin.digest_of(lambda see: engine_twin.run_ours(rows, see))
    assert ours == engine_twin.digest_of(lambda see: engine_twin.run_twin(library, rows, room, see))


def test_the_bars_that_are_measured_are_those_of_a_group_by_and_a_difference_is_seen() -> None:
    ticks = bars.trades(50_000)
    _, built = bars.built(ticks)
    bars.compare(built, bars.table_of(ticks))
    built["high"][7] += 1
    with pytest.raises(RuntimeError, match="differ"):
        bars.compare(built, bars.table_of(ticks))


def test_figures_are_medians_of_neighbours_and_the_first_place_changes() -> None:
    order: list[str] = []
    ours, peer = iter([10.0, 40.0, 90.0]), iter([5.0, 10.0, 30.0])

    def first() -> float:
        order.append("ours")
        return next(ours)

    def second() -> float:
        order.append("peer")
        return next(peer)

    assert in_turns(3, first, second) == (40.0, 10.0, 3.0)
    assert order == ["ours", "peer", "peer", "ours", "ours", "peer"]


def test_a_ratio_is_judged_by_its_side_and_written_with_its_six_fields() -> None:
    fast, slow = at_least("a", 7.0, 10.0, 0.7, 0.7, "x"), at_most("b", 30.001, 10.0, 3, "us")
    assert (fast.met, slow.met) == (True, False)
    assert slow.to_json() == {"name": "b", "ours": 30.0, "peer": 10.0, "ratio": 3.0, "target": 3, "unit": "us"}
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0


def test_the_result_is_a_list_and_nothing_else_is_left_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "bench" / "latest.json"
    command.write([at_least("a", 1.0, 2.0, 0.5, 0.7, "x")], target)
    command.write([at_least("a", 1.0, 1.0, 1.0, 0.7, "x")], target)
    assert [row["ratio"] for row in json.loads(target.read_text())] == [1.0]
    assert list(target.parent.iterdir()) == [target]


def test_an_unknown_part_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["engines"]) == 2
    assert "engines" in capsys.readouterr().out


@needs_a_compiler
@pytest.mark.timeout(600)
def test_a_small_run_measures_every_figure_and_leaves_the_result_of_a_full_one_alone() -> None:
    kept = command.TARGET.read_bytes() if command.TARGET.exists() else None
    done = subprocess.run(
        [sys.executable, "-m", "bench"],
        cwd=PROJECT_ROOT, env={**os.environ, "BENCH_SCALE": "0.01"}, capture_output=True, text=True, timeout=570,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    table = re.findall(r"^(\w+) +[\d.,]+ +[\d.,]+ +[\d.,]+ .* (?:met|NOT MET)$", done.stdout, re.MULTILINE)
    assert table == NAMES
    assert (command.TARGET.read_bytes() if command.TARGET.exists() else None) == kept
