"""Send the browser to one of our own routes: the only way a cookie gets set or taken back."""

from app.components.web import component


def enter(code: str) -> None:
    """Take the single-use code of a login to the route that sets the cookie and comes back."""
    _go(f"/api/session?code={code}", post=False)


def leave() -> None:
    """End the session, take the cookie back, and show the login."""
    _go("/api/logout", post=True)


def _go(to: str, *, post: bool) -> None:
    component("go")(key="go", data={"to": to, "post": post})
