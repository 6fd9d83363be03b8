"""The admin's limits: of tiers, users, portfolios and instruments; the compliance list; losses and the breaker."""

from app import frame, room
from app.components import deeds, risk_limits

who = room.actor()
views = {
    "Limits": risk_limits.show,
    "Tiers of traders": risk_limits.tiers,
    "Restricted instruments": risk_limits.restricted,
    "Losses": risk_limits.losses,
}
view = frame.part(list(views), "risk_view")
deeds.told()
views[view](who)
