"""The app's entry: who is asking, which pages they have, and the page they are on."""

import streamlit as st

from app import frame, menu, room
from app.components import deeds
from app.login import ask_for_login
from trading.domain.errors import Forbidden, Unavailable

st.set_page_config(page_title="Tradefloor", page_icon=str(frame.MARK), layout="wide")
frame.style()
try:
    actor = room.maybe_actor()
    if actor is None:
        ask_for_login()
    else:
        page = st.navigation(menu.pages(actor.role), position="top")
        frame.notices(actor)
        frame.portfolio_switch(actor)
        deeds.start_empty()
        page.run()
        frame.footer()
except Forbidden as error:
    frame.no_entry(error)
except Unavailable:
    frame.away()
