"""The admin's instruments: splits and dividends, fees and taxes."""

from app import frame, room
from app.components import corporate_actions, deeds, fee_desk

who = room.actor()
view = frame.part(["Splits and dividends", "Fees and taxes"], "market_view")
deeds.told()
if view == "Splits and dividends":
    corporate_actions.show(who)
else:
    fee_desk.show(who)
