"""Send the browser to one of our own routes: the only way a cookie gets set or taken back."""

import streamlit as st

_GO_JS = """
export default function(component) {
  const { data, parentElement } = component;
  if (parentElement.gone) return;
  parentElement.gone = true;
  if (data.post) fetch(data.to, { method: 'POST' }).finally(() => location.replace('/'));
  else location.replace(data.to);
}
"""


def enter(code: str) -> None:
    """Take the single-use code of a login to the route that sets the cookie and comes back."""
    _go(f"/api/session?code={code}", post=False)


def leave() -> None:
    """End the session, take the cookie back, and show the login."""
    _go("/api/logout", post=True)


def _go(to: str, *, post: bool) -> None:
    st.components.v2.component("tradefloor_go", html="<span></span>", js=_GO_JS)(
        key="go", data={"to": to, "post": post}
    )
