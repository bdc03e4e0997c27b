"""Random numbers: the generator's words, seeds, threads and moments."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from samples import FLOATS

import fastnn as fn
from fastnn.nn import functional as F


def philox(key: tuple[int, int], counter: tuple[int, int, int, int]) -> tuple[int, ...]:
    """Philox4x32-10 as in Salmon et al., SC 2011."""
    (k0, k1), (c0, c1, c2, c3) = key, counter
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = b >> 32 ^ c1 ^ k0, b % 2**32, a >> 32 ^ c3 ^ k1, a % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def test_uniform_numbers_are_philox_words() -> None:
    # Known answers of the Random123 library, first of this file's philox, then of fastnn's.
    ones, pi = (2**32 - 1,) * 4, (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    zero = (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert philox((0, 0), (0, 0, 0, 0)) == zero
    assert philox(ones[:2], ones) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    pi_answer = (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)
    assert philox((0xA4093822, 0x299F31D0), pi) == pi_answer
    fn.manual_seed(0)
    assert (fn.rand(4).cpu().numpy() * 2**24).tolist() == [w >> 8 for w in zero]
    for seed in (1, 2**32 + 5, 2**64 - 1):
        fn.manual_seed(seed)
        assert fn.initial_seed() == seed
        got = np.concatenate([fn.rand(6).cpu().numpy(), fn.rand(5).cpu().numpy()]) * 2**24
        blocks = [philox((seed % 2**32, seed >> 32), (i, 0, 0, 0)) for i in range(4)]
        words = [*blocks[0], *blocks[1][:2], *blocks[2], blocks[3][0]]  # a call starts a block
        assert got.tolist() == [w >> 8 for w in words]


@pytest.mark.parametrize("dtype", FLOATS)
def test_one_seed_gives_one_sequence_for_any_number_of_threads(
    dtype: str, threads: Callable[[int], None]
) -> None:
    def draw() -> list[bytes]:
        fn.manual_seed(7)
        made = [fn.rand(3, 10_007, dtype=dtype), fn.randn(5, 10_001, dtype=dtype)]
        made.append(F.dropout(fn.ones(40_003, dtype=dtype), 0.3))
        return [t.cpu().numpy().tobytes() for t in made]

    first = draw()
    for n in (1, 2, 3):
        threads(n)
        assert draw() == first
    fn.manual_seed(8)
    assert fn.rand(3, 10_007, dtype=dtype).cpu().numpy().tobytes() != first[0]


def test_random_numbers_fill_row_major_whatever_the_layout() -> None:
    fn.manual_seed(1)
    plain = fn.empty(6, 5).uniform_().cpu().numpy()
    fn.manual_seed(1)
    np.testing.assert_array_equal(fn.empty(5, 6).T.uniform_().cpu().numpy(), plain)


def test_uniform_and_normal_moments() -> None:
    n = 400_000
    fn.manual_seed(3)
    u = fn.empty(n, dtype=fn.float64).uniform_(-2, 6).cpu().numpy()
    assert u.min() >= -2
    assert u.max() < 6
    # Five standard errors each.
    assert abs(u.mean() - 2) < 5 * (8 / math.sqrt(12)) / math.sqrt(n)
    assert abs(u.var() / (64 / 12) - 1) < 5 * math.sqrt(0.8 / n)
    cells = np.bincount(((u + 2) * 2).astype(int), minlength=16)
    chi = ((cells - n / 16) ** 2 / (n / 16)).sum()
    assert chi < 15 + 5 * math.sqrt(30)
    g = fn.empty(n, dtype=fn.float64).normal_(1, 3).cpu().numpy()
    z = (g - 1) / 3
    assert np.isfinite(z).all()
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs((z**2).mean() - 1) < 5 * math.sqrt(2 / n)
    assert abs((z**3).mean()) < 5 * math.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / n)
    assert abs((z[::2] * z[1::2]).mean()) < 5 / math.sqrt(n / 2)  # a pair shares its words
    assert abs((z[1:] * z[:-1]).mean()) < 5 / math.sqrt(n)
    same = fn.full((3,), 0.0).uniform_(2, 2).cpu().numpy()
    assert (same == 2).all()


def test_the_state_of_the_generator_stands_for_what_it_draws() -> None:
    fn.manual_seed(3)
    fn.rand(5)
    state = fn.get_rng_state()
    assert state == (3, 2)  # blocks of four words
    drawn = fn.rand(7).cpu().numpy()
    fn.manual_seed(4)
    fn.set_rng_state(state)
    np.testing.assert_array_equal(fn.rand(7).cpu().numpy(), drawn)
