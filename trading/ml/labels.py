"""What a model learns to tell: the sign of the return over the next bars, and until when a label looks ahead."""

import pandas as pd

from trading.market.adjust import adjusted


def forward_sign(bars: pd.DataFrame, horizon_bars: int) -> pd.DataFrame:
    """Whether the adjusted close is higher after ``horizon_bars`` than now.

    Columns: ``ts``, ``label`` (1 higher, 0 not, NaN not known yet), ``forward_return``, and ``label_end``, the time of
    the bar at which the label is known: training data must not hold a label that ends at or after the first test bar
    (the purge of López de Prado, Advances in Financial Machine Learning, 2018, section 7.4.1). In the last rows, whose
    future has not happened, all but ``ts`` are missing. ``bars`` are one symbol ordered by ``ts``.
    """
    if horizon_bars < 1:
        raise ValueError("a label looks at least one bar ahead")
    close = adjusted(bars)["close"]
    forward = close.shift(-horizon_bars) / close - 1.0
    return pd.DataFrame(
        {
            "ts": bars["ts"],
            "label": (forward > 0).astype("float64").where(forward.notna()),
            "forward_return": forward,
            "label_end": bars["ts"].shift(-horizon_bars),
        }
    ).reset_index(drop=True)
