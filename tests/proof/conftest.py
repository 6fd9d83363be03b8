"""What the proofs share. ``PROOF_REPORT`` names a file that gets a line with the figures of each."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from house import House, opened

from trading.adapters.embedded.valkey import EmbeddedValkey


@pytest.fixture(scope="session")
def house(valkey: EmbeddedValkey) -> Iterator[House]:
    with opened(valkey.url()) as own:
        yield own


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keeps a test's figures where ``PROOF_REPORT`` says."""

    def keep(figures: str) -> None:
        path = os.environ.get("PROOF_REPORT")
        if path is not None:
            with Path(path).open("a") as file:
                file.write(f"{request.node.name}: {figures}\n")

    return keep
