"""Research."""

import streamlit as st

st.caption("research")
