"""Fixtures and options that more than one file uses; asserts of helpers that pytest explains."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

import fastnn as fn

pytest.register_assert_rewrite("refusals", "steps")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device",
        default="cpu",
        choices=("cpu", "cuda"),
        help="where tensors are made by default; cases too large for an emulated GPU are skipped",
    )
    parser.addoption(
        "--first-cases",
        action="store_true",
        help="of a test that runs for every case of every operation, only each operation's first",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--device") == "cuda":
        for item in items:
            if mark := item.get_closest_marker("cpu_only"):
                item.add_marker(pytest.mark.skip(f"of the CPU alone: {mark.args[0]}"))
    if not config.getoption("--first-cases"):
        return
    seen: set[tuple[object, ...]] = set()
    for item in list(items):
        given = (
            item.callspec.params
            if isinstance(item, pytest.Function) and hasattr(item, "callspec")
            else {}
        )
        if "spec" not in given:
            continue
        key = (item.originalname, given["spec"].name, given.get("dtype"))
        if key in seen:
            items.remove(item)
        seen.add(key)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--device") == "cuda":
        # Every tensor in memory of its own, so that a read or write beside it is seen.
        os.environ.setdefault("FASTNN_CUDA_CACHE", "0")
        fn.set_default_device("cuda")


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """set_num_threads, undone after the test."""
    before = fn.get_num_threads()
    yield fn.set_num_threads
    fn.set_num_threads(before)
