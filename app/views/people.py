"""The admin's people: logins, portfolios and cash, who sees what, and the audit trail, personal data."""

from app import frame, room
from app.components import audit_trail, deeds, margin_policies, money_desk, people_data, sharing, user_admin

who = room.actor()
view = frame.part(["Logins", "Portfolios and cash", "Margin", "Sharing", "Audit trail", "Compliance"], "people_view")
deeds.told()
if view == "Logins":
    user_admin.show(who)
elif view == "Portfolios and cash":
    money_desk.show(who)
elif view == "Margin":
    margin_policies.show(who)
elif view == "Sharing":
    sharing.show(who)
elif view == "Audit trail":
    audit_trail.show(who)
else:
    people_data.show(who)
