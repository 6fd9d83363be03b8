"""One error tree.

::

    TradefloorError
    ├── Unavailable        a server or a file the floor needs cannot be reached; try again
    ├── Forbidden          the actor's role or portfolio does not allow the call
    ├── NotFound           no such thing, or none that the actor may see
    ├── Invalid            the input is malformed; ``code`` is stable, nothing was written
    ├── Conflict           another call with the same key is in flight, or the key was used for another body
    ├── Halted             the kill switch is on for this scope
    ├── Fenced             another broker holds the lease; this one must exit
    ├── Stale              the cursor moved; drop memory, restore from the log
    └── Inconsistent       an invariant does not hold; a bug or a damaged store

Expected refusals of an order are returned values (:class:`trading.domain.orders.Refusal`), not exceptions.
"""

from typing import TypeVar


class TradefloorError(Exception):
    """Base of all errors of the floor. ``code`` is stable and meant for programs; the text is for people.

    ``audited`` is set once the audit trail has a row about it.
    """

    code = "error"
    audited = False

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class Unavailable(TradefloorError):
    """A server or file cannot be reached now."""

    code = "unavailable"


class Forbidden(TradefloorError):
    """The actor may not do this."""

    code = "forbidden"


class NotFound(TradefloorError):
    """No such thing, or none the actor may see."""

    code = "not_found"


class Invalid(TradefloorError):
    """Malformed input; nothing was written."""

    code = "invalid"


class Conflict(TradefloorError):
    """The idempotency key is in flight or belongs to another body."""

    code = "conflict"


class Halted(TradefloorError):
    """The kill switch is on."""

    code = "halted"


class Fenced(TradefloorError):
    """Another broker holds the lease."""

    code = "fenced"


class Inconsistent(TradefloorError):
    """An invariant does not hold."""

    code = "inconsistent"


class Stale(TradefloorError):
    """The cursor moved: what is in memory is not what is committed; restore and go on."""

    code = "stale"


ErrorT = TypeVar("ErrorT", bound=TradefloorError)


def already_told(error: ErrorT) -> ErrorT:
    """An error of which whoever refused has left a row in the audit trail."""
    error.audited = True
    return error
