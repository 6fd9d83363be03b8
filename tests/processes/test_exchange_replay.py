"""``tradefloor exchange replay``: what a file must look like, what comes out, and that nothing is half done."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from trading.adapters.sources import exchange_events
from trading.adapters.sources.exchange_events import EventFile
from trading.domain.errors import Invalid
from trading.exchange.compiled.engine import CompiledEngine
from trading.processes.command_exchange import replay_events

HEADER = "seq,ts_ns,symbol,op,order_id,owner,side,type,price,qty,tif,ask_price,ask_qty,expires_ns,stop_price"
GOOD = f"""{HEADER}
1,1000,ABC,add,1,7,buy,limit,100,10,gtc,,,,
2,1001,ABC,add,2,8,sell,market,,4,,,,,
3,1002,ABC,quote,,,,,99,5,,101,6,,
4,1003,XYZ,add,3,7,buy,market,,4,,,,,
5,1004,ABC,add,4,9,buy,limit,105,8,ioc,,,,
6,1005,,cancel,77,,,,,,,,,,
7,1005,ABC,modify,1,,,,100,3,,,,,
8,1006,ABC,trade,,,,,98,2,,,,,
9,1007,,gap,,,,,,,,,,,
10,1008,,time,,,,,,,,,,,
"""
EXPECTED = """1,1,1000,accepted,now,ABC,buy,1,0,100,10,10
2,2,1001,accepted,now,ABC,sell,2,0,,4,4
3,2,1001,fill,cross,ABC,sell,2,1,100,4,0
4,4,1003,accepted,now,XYZ,buy,3,0,,4,4
5,4,1003,cancelled,no_liquidity,XYZ,buy,3,0,,0,4
6,5,1004,accepted,now,ABC,buy,4,0,105,8,8
7,5,1004,fill,quote,ABC,buy,4,0,101,6,2
8,5,1004,cancelled,ioc,ABC,buy,4,0,105,0,2
9,6,1005,rejected,unknown_order,,,77,0,0,0,0
10,7,1005,modified,kept_place,ABC,buy,1,0,100,3,3
11,8,1006,fill,trade,ABC,sell,0,1,100,2,1
"""
# Depth, a bracket, a trailing stop, a closed session and a halt.
WIDE_HEADER = (
    "seq,ts_ns,symbol,op,order_id,owner,side,type,price,qty,tif,stop_price,trail,trail_ppm,link,link_kind,more,reset"
)
WIDE = f"""{WIDE_HEADER}
1,1000,ABC,depth,,,buy,,99,5,,,,,,,1,1
1,1000,ABC,depth,,,sell,,101,5,,,,,,,1,0
1,1000,ABC,depth,,,sell,,102,10,,,,,,,,
2,1001,ABC,trade,,,,,100,1,,,,,,,,
3,1002,ABC,add,1,7,sell,limit,105,12,,,,,,held,1,
3,1002,ABC,add,2,7,sell,stop,,12,,97,,,1,held_oco,1,
3,1002,ABC,add,3,7,buy,limit,102,12,,,,,1,entry,,
4,1003,ABC,add,4,8,buy,trailing_stop,,3,,,2,,,,,
5,1004,ABC,trade,,,,,98,1,,,,,,,,
6,1005,ABC,trade,,,,,100,4,,,,,,,,
7,1006,ABC,trade,,,,,106,4,,,,,,,,
8,1007,ABC,trade,,,,,97,1,,,,,,,,
9,1008,,session,,,,,,0,,,,,,,,
10,1009,ABC,add,5,9,buy,stop_limit,90,1,,110,,,,,,
11,1010,ABC,modify,5,,,,90,1,,,,,,,,
12,1011,,session,,,,,,1,,,,,,,,
13,1012,ABC,halt,,,,,,1,,,,,,,,
14,1013,ABC,add,6,9,buy,limit,90,1,,,,,,,,
"""
WIDE_EXPECTED = """1,3,1002,accepted,held,ABC,sell,1,0,105,12,0
2,3,1002,accepted,held,ABC,sell,2,0,,12,0
3,3,1002,accepted,now,ABC,buy,3,0,102,12,12
4,3,1002,fill,quote,ABC,buy,3,0,101,5,7
5,3,1002,fill,quote,ABC,buy,3,0,102,7,0
6,3,1002,sized,grown,ABC,sell,1,0,105,12,12
7,3,1002,sized,grown,ABC,sell,2,0,,12,12
8,4,1003,accepted,pending,ABC,buy,4,0,,3,3
9,6,1005,triggered,trade,ABC,buy,4,0,100,3,3
10,6,1005,fill,quote,ABC,buy,4,0,102,3,0
11,7,1006,fill,trade,ABC,buy,0,1,105,4,8
12,7,1006,sized,shrunk,ABC,sell,2,0,,4,8
13,8,1007,triggered,trade,ABC,sell,2,0,97,8,8
14,8,1007,fill,quote,ABC,sell,2,0,99,5,3
15,8,1007,sized,shrunk,ABC,sell,1,0,105,5,3
16,10,1009,accepted,pending,ABC,buy,5,0,90,1,1
17,11,1010,rejected,bad_stop,ABC,,5,0,90,1,0
18,13,1012,cancelled,halted,ABC,sell,1,0,105,0,3
19,13,1012,cancelled,halted,ABC,sell,2,0,,0,3
20,13,1012,cancelled,halted,ABC,buy,5,0,90,0,1
21,14,1013,rejected,halted,ABC,buy,6,0,90,1,0
"""


def replay(events: Path, out: Path, capsys: pytest.CaptureFixture[str], model: str = "through") -> tuple[int, Any]:
    code = replay_events(events, out, model, as_json=True)
    return code, json.loads(capsys.readouterr().out)


def write(folder: Path, text: str) -> Path:
    path = folder / "events.csv"
    path.write_text(text)
    return path


def test_every_event_of_the_engine_is_written_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.csv"
    code, answer = replay(write(tmp_path, GOOD), out, capsys)
    assert code == 0
    header, _, body = out.read_text().replace('"', "").partition("\n")
    assert header == "event_seq,input_seq,ts_ns,event,code,symbol,side,order_id,maker_id,price,qty,left"
    assert body == EXPECTED
    assert (answer["inputs"], answer["events"], answer["open_orders"]) == (10, 11, 1)
    assert answer["counts"]["fill"] == 3


def test_depth_stops_links_sessions_and_halts_come_through_the_door(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = replay(write(tmp_path, WIDE), tmp_path / "out.csv", capsys)
    assert code == 0
    assert (tmp_path / "out.csv").read_text().replace('"', "").partition("\n")[2] == WIDE_EXPECTED
    assert answer["open_orders"] == 0


def test_csv_and_parquet_give_the_same_events_and_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path, GOOD)
    pq.write_table(pacsv.read_csv(source), tmp_path / "events.parquet")
    _, from_csv = replay(source, tmp_path / "one.parquet", capsys)
    _, from_parquet = replay(tmp_path / "events.parquet", tmp_path / "two.parquet", capsys)
    assert from_csv == from_parquet
    assert pq.read_table(tmp_path / "one.parquet").equals(pq.read_table(tmp_path / "two.parquet"))


def test_the_queue_model_says_which_trades_fill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bids = "1,1,ABC,quote,,,,,100,6,101,9\n2,2,ABC,add,1,7,buy,limit,100,5,,\n"
    prints = "3,3,ABC,trade,,,,,100,4,,\n4,4,ABC,trade,,,,,100,4,,\n5,5,ABC,trade,,,,,99,1,,\n"
    header = "seq,ts_ns,symbol,op,order_id,owner,side,type,price,qty,ask_price,ask_qty\n"
    source = write(tmp_path, header + bids + prints)
    filled = {}
    for model in ("through", "touch", "queue"):
        replay(source, tmp_path / "out.csv", capsys, model)
        told = pacsv.read_csv(tmp_path / "out.csv").to_pylist()
        filled[model] = [(row["input_seq"], row["qty"]) for row in told if row["event"] == "fill"]
    # Six lots stand before the order: the first print takes four of them, the second the other two and two of ours.
    assert filled == {"through": [(5, 1)], "touch": [(3, 4), (4, 1)], "queue": [(4, 2), (5, 1)]}


@pytest.mark.parametrize(
    ("before", "after", "line", "code"),
    [
        ("2,1001,ABC,add,2", "2,1001,ABC,add,x", 3, "bad_number"),
        ("2,1001,ABC,add,2", "2,1001,ABC,add,2.5", 3, "bad_number"),
        ("2,1001,ABC,add,2", "2,1001,ABC,add,99999999999999999999", 3, "bad_number"),
        ("2,1001,ABC,add,2", "2,1001,ABC,add,", 3, "missing"),
        ("2,1001,ABC,add,2", "2,1001,,add,2", 3, "missing"),
        ("2,1001,ABC,add,2", "1,1001,ABC,add,2", 3, "bad_seq"),
        ("2,1001,ABC,add,2", "2,999,ABC,add,2", 3, "bad_ts"),
        ("2,1001,ABC,add,2", "2,1001,ABC,insert,2", 3, "bad_op"),
        ("3,1002,ABC,quote,,,,,99,5", "3,1002,ABC,quote,,,,,99,", 4, "missing"),
        ("3,1002,ABC,quote", "3,1002,ABC,depth", 4, "missing"),
        ("sell,market,", "sell,stop,", 3, "missing"),
        ("sell,market,", "sell,trailing_stop,", 3, "missing"),
        ("sell,market,", "sell,bracket,", 3, "bad_type"),
        ("sell,market,", "left,market,", 3, "bad_side"),
        ("sell,market,,4,", "sell,post_only,1,4,ioc", 3, "bad_tif"),
        ("sell,market,,4,", "sell,limit,1,4,gtd", 3, "missing"),
        ("5,1004,ABC,add,4,9,buy,limit,105,8,ioc,,,,", "5,1004,ABC,add,4,9,buy,limit,105,8,ioc,,,,9",
         6, "bad_stop"),
        ("6,1005,,cancel,77,,,,,,,,,,", "6,1005,,cancel,77", 7, "ragged"),
        ("\n6,1005", "\n\n6,1005", 7, "missing"),
        (",order_id,", ",order_nr,", None, "unknown_column"),
        ("seq,ts_ns", "nr,ts_ns", None, "missing_column"),
        (GOOD, "", None, "empty"),
    ],
)  # fmt: skip
def test_a_wrong_row_refuses_the_file_by_line_and_leaves_no_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, line: int | None, code: str
) -> None:
    assert before in GOOD
    source = write(tmp_path, GOOD.replace(before, after, 1))
    status, answer = replay(source, tmp_path / "out.csv", capsys)
    assert (status, answer["code"], answer["line"]) == (1, code, line)
    assert os.listdir(tmp_path) == ["events.csv"]


@pytest.mark.parametrize(
    ("before", "after", "line", "code"),
    [
        ("2,7,sell,stop,,12,,97", "2,7,sell,stop,,12,,", 7, "missing"),
        ("2,7,sell,stop,,12,,97", "2,7,sell,stop_limit,,12,,97", 7, "missing"),
        ("2,7,sell,stop,,12,,97", "2,7,sell,stop,,12,ioc,97", 7, "bad_tif"),
        ("trailing_stop,,3,,,2,", "trailing_stop,,3,,90,2,", 9, "bad_stop"),
        ("trailing_stop,,3,,,2,", "trailing_stop,,3,,,2,9000", 9, "bad_trail"),
        ("trailing_stop,,3,,,2,", "limit,90,3,,,2,", 9, "bad_trail"),
        ("1,held_oco,1", ",held_oco,1", 7, "missing"),
        ("1,held_oco,1", "1,,1", 7, "bad_link"),
        ("1,held_oco,1", "1,held,1", 7, "bad_link"),
        ("1,held_oco,1", "1,pair,1", 7, "bad_link_kind"),
        ("11,1010,ABC,modify,5,,,,90,1,,,,,,,,", "11,1010,ABC,modify,5,,,,90,1,,,,,,held,,", 16, "bad_link"),
        ("1,1000,ABC,depth,,,sell,,101,5,,,,,,,1,0", "1,1000,ABC,depth,,,sell,,101,5,,,,,,,0,0", 4, "bad_seq"),
        ("1,1000,ABC,depth,,,sell,,101", "1,1000,XYZ,depth,,,sell,,101", 3, "bad_more"),
        ("1,1000,ABC,depth,,,sell,,101", "1,1001,ABC,depth,,,sell,,101", 3, "bad_more"),
        ("1,1000,ABC,depth,,,sell,,101", "1,1000,ABC,trade,,,sell,,101", 3, "bad_more"),
        ("1,1000,ABC,depth,,,sell,,101,5,,,,,,,1,0", "1,1000,ABC,depth,,,sell,,101,5,,,,,,,2,0", 3, "bad_more"),
        ("2,1001,ABC,trade,,,,,100,1,,,,,,,,", "2,1001,ABC,trade,,,,,100,1,,,,,,,1,", 5, "bad_more"),
        ("2,1001,ABC,trade,,,,,100,1,,,,,,,,", "2,1001,ABC,trade,,,,,100,1,,,,,,,,1", 5, "bad_reset"),
        ("6,9,buy,limit,90,1,,,,,,,,", "6,9,buy,limit,90,1,,,,,,,1,", 19, "bad_more"),
        ("13,1012,ABC,halt,,,,,,1", "13,1012,ABC,halt,,,,,,", 18, "missing"),
        ("9,1008,,session,,,,,,0", "9,1008,,session,,,,,,", 14, "missing"),
    ],
)  # fmt: skip
def test_a_wrong_stop_link_or_flag_refuses_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, line: int, code: str
) -> None:
    assert before in WIDE
    status, answer = replay(write(tmp_path, WIDE.replace(before, after, 1)), tmp_path / "out.csv", capsys)
    assert (status, answer["code"], answer["line"]) == (1, code, line)
    assert os.listdir(tmp_path) == ["events.csv"]


def test_the_first_of_several_wrong_rows_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = GOOD.replace("3,1002,ABC,quote", "3,1002,ABC,quota").replace("add,4,9", "add,four,9")
    assert replay(write(tmp_path, wrong), tmp_path / "out.csv", capsys)[1]["line"] == 4


def test_a_refused_file_leaves_the_older_output_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.csv"
    out.write_text("older")
    assert replay(write(tmp_path, GOOD + "11,1009,ABC,add\n"), out, capsys)[0] == 1
    assert out.read_text() == "older"


def test_a_wrong_call_is_refused_before_any_work(tmp_path: Path) -> None:
    source = write(tmp_path, GOOD)
    for out, model in ((tmp_path / "out.txt", "through"), (source, "through"), (tmp_path / "out.csv", "quick"),
                       (tmp_path / "nowhere" / "out.csv", "touch")):  # fmt: skip
        with pytest.raises(Invalid):
            replay_events(source, out, model, as_json=True)
    assert os.listdir(tmp_path) == ["events.csv"]


def many(rows: int) -> pa.Table:
    n = np.arange(1, rows + 1)
    random = np.random.default_rng(5)
    adds = random.random(rows) < 0.6
    return pa.table(
        {
            "seq": n,
            "ts_ns": n * 1000,
            "symbol": np.array(["A", "B", "C"])[n % 3],
            "op": np.where(adds, "add", "cancel"),
            "order_id": np.where(adds, n, np.maximum(1, n - random.integers(1, 900, rows))),
            "side": np.where(random.random(rows) < 0.5, "buy", "sell"),
            "type": np.full(rows, "limit"),
            "price": random.integers(900, 1100, rows),
            "qty": random.integers(1, 50, rows),
        }
    )


def test_batches_do_not_show_in_the_outcome(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(many(20_000), tmp_path / "events.parquet")
    _, whole = replay(tmp_path / "events.parquet", tmp_path / "whole.csv", capsys)
    monkeypatch.setattr(exchange_events, "_BATCH_ROWS", 77)
    _, parts = replay(tmp_path / "events.parquet", tmp_path / "parts.csv", capsys)
    assert whole == parts
    digests = {hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in ("whole.csv", "parts.csv")}
    assert len(digests) == 1


def test_a_row_far_down_a_csv_is_named_by_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "events.csv"
    pacsv.write_csv(many(150_000), path, pacsv.WriteOptions(quoting_style="none"))
    lines = path.read_text().splitlines()
    lines[140_000] = lines[140_000].replace("buy", "up").replace("sell", "up")
    path.write_text("\n".join(lines))
    assert replay(path, tmp_path / "out.csv", capsys)[1]["line"] == 140_001
    lines[139_000] += ",9"
    path.write_text("\n".join(lines))
    assert replay(path, tmp_path / "out.csv", capsys)[1] == {
        "v": 1, "taken": False, "code": "ragged", "line": 139_001,
        "message": "line 139001: 10 fields where the header has 9",
    }  # fmt: skip


def test_a_file_and_the_engine_by_itself_reach_the_same_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path, GOOD)
    engine = CompiledEngine(2)
    for inputs in EventFile(source).batches():
        engine.apply(inputs)
    assert replay(source, tmp_path / "out.csv", capsys)[1]["state_sha256"] == engine.state_hash()


def test_the_command_line_answers_a_refusal_in_one_line(tmp_path: Path) -> None:
    source = write(tmp_path, GOOD.replace("ABC,quote", "ABC,level"))
    done = subprocess.run(
        [sys.executable, "-m", "trading.cli", "exchange", "replay", str(source), "--out", str(tmp_path / "out.csv")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    words = "add, cancel, modify, quote, trade, gap, time, depth, session, halt"
    assert done.stderr == f"tradefloor: events.csv: line 4: op 'level' is none of {words} (bad_op)\n"
