from collections.abc import Iterator
from pathlib import Path

import pytest

from psc.node.home import Home
from tests.homes import befriend


@pytest.fixture
def merchant(tmp_path: Path) -> Iterator[Home]:
    with Home.create(tmp_path / "merchant", "merchant") as home:
        yield home


@pytest.fixture
def courier(tmp_path: Path) -> Iterator[Home]:
    with Home.create(tmp_path / "courier", "courier", address="courier.example:7443") as home:
        yield home


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Home]:
    with Home.create(tmp_path / "bank", "bank") as home:
        yield home


@pytest.fixture
def friends(merchant: Home, courier: Home, bank: Home) -> tuple[Home, Home, Home]:
    befriend(merchant, courier, bank)
    return merchant, courier, bank
