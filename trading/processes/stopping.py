"""How a process is told to stop."""

import signal
from threading import Event


def stop_when_told() -> Event:
    """Set by SIGTERM and SIGINT from now on; call it once, in the main thread."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
