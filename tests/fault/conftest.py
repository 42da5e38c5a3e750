"""One pair of nodes a module, with a courier whose handler can be watched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fault.parties import Parties, parties


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parties]:
    """Return two nodes that outlive every attack of the module."""
    with parties(tmp_path_factory.mktemp("parties")) as made:
        yield made
