"""The app's process: Streamlit and the gateway as one ASGI application on one port."""

import logging
import time
from pathlib import Path

import streamlit as st
import uvicorn
from starlette.middleware import Middleware
from starlette.routing import Mount

from app import room
from app.addresses import HomeAddresses
from gateway.api import create_api
from gateway.headers import SafeHeaders
from trading.bootstrap import open_floor
from trading.config import Settings
from trading.processes import logs
from trading.services.floor import Floor

MAIN = Path(__file__).resolve().parent / "main.py"


def create_app(floor: Floor) -> st.App:
    """Screens at ``/``, the gateway at ``/api``."""
    room.open_room(floor)
    routes = [Mount("/api", create_api(floor, time.monotonic))]
    return st.App(MAIN, routes=routes, middleware=[Middleware(SafeHeaders), Middleware(HomeAddresses)])


def serve(settings: Settings) -> None:
    """Answer on the settings' host and port until a signal ends the process."""
    # Streamlit gives uvicorn's loggers handlers of its own; an address may carry the single-use code of a login.
    logs.configure()
    logging.getLogger("uvicorn.access").disabled = True
    with open_floor(settings) as floor:
        uvicorn.run(
            create_app(floor),
            host=settings.host,
            port=settings.app_port,
            log_config=None,
            access_log=False,
            ws="websockets-sansio",
            ws_max_size=4 * 2**20,
            timeout_graceful_shutdown=2,
            server_header=False,
        )


if __name__ == "__main__":
    serve(Settings())
