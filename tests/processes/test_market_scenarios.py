"""The way in for scenarios: files that the market takes once, whatever they hold."""

from pathlib import Path

import pytest

from trading.processes.market_scenarios import put, take


def test_what_was_put_is_taken_once_and_begins_behind_now(tmp_path: Path) -> None:
    folder = tmp_path / "market" / "scenarios"
    put(folder, "halt", "AAPL", None, 30.0)
    put(folder, "crash", None, 0.3, None)
    taken = take(folder, ["AAPL", "MSFT"], 1_000)
    assert sorted((each.name, each.symbol, each.start_ns) for each in taken) == [
        ("crash", None, 1_001),
        ("halt", "AAPL", 1_001),
    ]
    assert take(folder, ["AAPL", "MSFT"], 2_000) == ()
    assert folder.stat().st_mode & 0o777 == 0o700, "only who runs the floor can ask"


def test_a_request_that_cannot_be_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a scenario is one of"):
        put(tmp_path / "scenarios", "flood", None, None, None)
    assert not (tmp_path / "scenarios").exists()


def test_a_folder_that_nobody_made_holds_nothing(tmp_path: Path) -> None:
    assert take(tmp_path / "none", ["AAPL"], 1) == ()


@pytest.mark.parametrize(
    "text",
    [
        "{ torn",
        "[]",
        "{}",
        '{"name": "gap", "symbol": "AAPL", "size": "big", "seconds": null}',
        '{"name": "gap", "symbol": "NOPE", "size": 0.1, "seconds": 1}',
        '{"name": ["gap"], "symbol": null, "size": 0.1, "seconds": 1}',
        '{"name": "gap", "symbol": {}, "size": 0.1, "seconds": 1}',
    ],
)
def test_a_file_that_cannot_be_understood_is_removed_and_the_next_one_taken(tmp_path: Path, text: str) -> None:
    (tmp_path / "0.json").write_text(text)
    put(tmp_path, "gap", "AAPL", 0.1, None)
    assert [each.name for each in take(tmp_path, ["AAPL"], 1)] == ["gap"]
    assert list(tmp_path.iterdir()) == []
