"""The shipped table of instruments."""

from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from trading.domain.instruments import Instrument
from trading.domain.money import Asset
from trading.domain.orders import Side
from trading.market.profiles import PROFILES, Profile, shipped_shapes
from trading.market.shipped import make_profiles


def of(symbol: str) -> Profile:
    return next(profile for profile in PROFILES if profile.symbol == symbol)


def test_the_table_covers_the_asset_classes_a_trader_expects() -> None:
    assert len(PROFILES) >= 50
    assert {profile.asset_class for profile in PROFILES} == {"equity", "fx", "metal", "crypto"}
    assert len({profile.symbol for profile in PROFILES}) == len(PROFILES)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.symbol)
def test_every_row_is_plausible_and_names_its_source(profile: Profile) -> None:
    assert profile.start_ticks * profile.tick_size == profile.start_price, "the start price is on a tick"
    assert 0.003 < profile.daily_volatility < 0.12
    assert profile.jumps_per_day * profile.jump_volatility**2 < 0.3 * profile.daily_volatility**2
    assert -1 < profile.market_correlation < 1
    assert profile.spread_ticks >= 1
    assert profile.spread_ticks * profile.tick_size < profile.start_price * Decimal("0.002")
    assert profile.size_lots >= 10
    assert profile.source
    assert profile.calendar == {"equity": "XNYS", "crypto": "24/7"}.get(profile.asset_class, "FX")
    assert (0.05 < profile.overnight_share < 0.6) == (profile.asset_class == "equity")
    assert profile.shape in shipped_shapes()


def test_the_first_thirteen_keep_their_place_because_their_ids_follow_from_it() -> None:
    first = "AAPL MSFT IBM GOOG FB AMD AMZN VRTX EURUSD GBPUSD XAUUSD BTCUSD ETHUSD"
    assert [profile.symbol for profile in PROFILES[:13]] == first.split()


def test_a_shape_redistributes_volatility_within_a_day_and_leaves_the_day_s_alone() -> None:
    for name, weights in shipped_shapes().items():
        assert sum(weight**2 for weight in weights) / len(weights) == pytest.approx(1, abs=1e-3), name
        assert max(weights) > 1.2 > 0.8 > min(weights) > 0.3, name
    session = shipped_shapes()["session"]
    assert min(session) < session[-1] < session[0], "busy at the open, quiet at noon, busier at the close"


def test_fees_are_what_a_retail_broker_charges() -> None:
    usd = Asset(1, "USD", 2)

    def fee(symbol: str, lots: int) -> int:
        profile = of(symbol)
        asset = Asset(2, symbol, 0)
        instrument = Instrument(
            1, 1, symbol, "SIM", profile.name, asset, usd, profile.tick_size, profile.lot_size, 10**6, profile.fee
        )
        return instrument.fee.total(Side.BUY, lots, instrument.notional(profile.start_ticks * lots))

    assert fee("AAPL", 10) == 100, "1.00 USD at least"
    assert fee("AAPL", 1_000) == 500, "half a cent a share"
    assert fee("EURUSD", 1_000) == 2_293, "20 ppm of a million euros"
    assert fee("BTCUSD", 10_000) == 1_563, "25 basis points of one bitcoin"


@pytest.mark.shared_data
def test_the_script_computes_the_shipped_numbers_again(shared_data: Path) -> None:
    shipped = pd.read_csv(Path(make_profiles.__file__).with_name("profiles.csv"), dtype=str).set_index("symbol")
    for symbol, name, terms, source in make_profiles.SOURCES:
        row = make_profiles.row(symbol, name, terms, source, shared_data)
        assert {key: str(value) for key, value in row.items() if key != "symbol"} == shipped.loc[symbol].to_dict()
    found = make_profiles.shapes(shared_data)
    assert found.equals(pd.read_csv(Path(make_profiles.__file__).with_name("shapes.csv"), dtype=str))
