"""Fixtures of the county side's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.messages_of import url_of

from center.store.store import Store
from common.clock import SystemClock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(url_of(tmp_path), SystemClock())
    yield opened
    opened.close()
