"""A fixture that more than one file uses; asserts of a helper that pytest explains."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import fastnn as fn

pytest.register_assert_rewrite("refusals", "steps")


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """set_num_threads, undone after the test."""
    before = fn.get_num_threads()
    yield fn.set_num_threads
    fn.set_num_threads(before)
