"""fastnn.data: batches, splits and scalers."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn as fn
from fastnn import data

pytestmark = pytest.mark.cpu_only("batches and scalers are of arrays")


def numbers(loader):
    """The examples of each batch, by their number."""
    return [batch[0].numpy().ravel().astype(int).tolist() for batch in loader]


def numbered(n):
    return np.arange(n, dtype=np.float32)[:, None]


# --- batches ----------------------------------------------------------------------------------


def test_batches_hold_the_rows_that_the_labels_belong_to():
    x = np.random.default_rng(0).random((7, 2, 3), dtype=np.float32)
    y = np.arange(7, dtype=np.uint8)
    seen = 0
    for images, labels in data.DataLoader((x, y), batch_size=3, shuffle=True):
        np.testing.assert_array_equal(images.numpy(), x[labels.numpy()])
        assert images.numpy().dtype == np.float32
        assert labels.numpy().dtype == np.int64
        seen += len(labels)
    assert seen == 7


@pytest.mark.parametrize(
    ("n", "batch_size", "drop_last", "sizes"),
    [
        (6, 3, False, [3, 3]),
        (7, 3, False, [3, 3, 1]),
        (7, 3, True, [3, 3]),
        (2, 3, False, [2]),
        (2, 3, True, []),
    ],
)
def test_batch_sizes_and_len(n, batch_size, drop_last, sizes):
    loader = data.DataLoader((numbered(n),), batch_size, drop_last=drop_last)
    assert [len(b) for b in numbers(loader)] == sizes
    assert len(loader) == len(sizes)


def test_without_shuffle_the_order_is_the_arrays():
    assert numbers(data.DataLoader((numbered(5),), 2)) == [[0, 1], [2, 3], [4]]


def test_shuffle_depends_on_seed_and_epoch_alone():
    def epochs(seed):
        loader = data.DataLoader((numbered(50),), 50, shuffle=True, seed=seed)
        return [numbers(loader)[0] for _ in range(3)]

    first = epochs(4)
    np.random.seed(1)  # the global state must not matter
    assert epochs(4) == first
    assert len({tuple(order) for order in first + epochs(5)}) == 6
    assert all(sorted(order) == list(range(50)) for order in first)
    fn.manual_seed(4)
    assert numbers(data.DataLoader((numbered(50),), 50, shuffle=True))[0] == first[0]
    resumed = data.DataLoader((numbered(50),), 50, shuffle=True, seed=4)
    resumed.epoch = 2
    assert numbers(resumed)[0] == first[2]


def test_arrays_are_not_copied_and_batches_do_not_alias_them():
    x = numbered(4)
    dataset = data.TensorDataset(x)
    assert np.shares_memory(dataset.arrays[0], x)
    for (batch,) in data.DataLoader(dataset, 2):
        batch.numpy()[...] = -1
    np.testing.assert_array_equal(x, numbered(4))


def test_dtypes_are_kept():
    x = np.zeros((2, 1))
    pixels = np.zeros((2, 1), dtype=np.uint8)
    ((a, b),) = data.DataLoader((x, pixels), 2)
    assert a.numpy().dtype == np.float64
    assert b.numpy().dtype == np.uint8


def test_a_dataset_of_ones_own():
    class Squares(data.Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, index):
            return np.full(2, index, dtype=np.float32), index**2

    batches = list(data.DataLoader(Squares(), 2))
    assert [tuple(x.shape) for x, _ in batches] == [(2, 2), (2, 2), (1, 2)]
    assert [y.numpy().tolist() for _, y in batches] == [[0, 1], [4, 9], [16]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((numbered(3),), 0), ValueError, r"\[DataLoader\] batch_size .* got 0"),
        (((numbered(3),), 2.5), ValueError, r"batch_size .* got 2.5"),
        (((numbered(3),), True), ValueError, r"batch_size .* got True"),
        (((numbered(3),), 1, False, False, -1), ValueError, r"seed .* got -1"),
        (((numbered(0),), 1), ValueError, r"\[DataLoader\] dataset is empty"),
        ((numbered(3), 1), TypeError, r"\[DataLoader\] dataset .* got ndarray"),
        (((numbered(3), numbered(4)), 1), ValueError, r"\[TensorDataset\] .*\(3, 1\), \(4, 1\)"),
        (((np.array(["a"]),), 1), TypeError, r"\[TensorDataset\] .* dtype <U1"),
        (((np.array([{}]),), 1), TypeError, r"\[TensorDataset\] .* dtype object"),
        (((np.array([2**63], dtype=np.uint64),), 1), TypeError, r"dtype uint64"),
        (((np.float32(3),), 1), TypeError, r"\[TensorDataset\] .* shape \(\)"),
    ],
)
def test_loader_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        data.DataLoader(*arguments)


# --- splits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stratify", [False, True])
def test_split_parts_are_disjoint_and_complete(stratify):
    x, y = np.arange(100), np.arange(100) % 7
    parts = data.train_val_test_split(
        x, y, val_size=0.2, test_size=13, seed=3, stratify=y if stratify else None
    )
    assert [len(part[0]) for part in parts] == [67, 20, 13]
    assert sorted(np.concatenate([part[0] for part in parts])) == list(range(100))
    for part_x, part_y in parts:
        np.testing.assert_array_equal(part_x % 7, part_y)
        assert part_x.tolist() != sorted(part_x)  # shuffled


def test_stratified_parts_hold_their_share_of_every_class():
    y = np.repeat([0, 1, 2], [900, 90, 10])
    _, (val,), (test,) = data.train_val_test_split(y, val_size=0.1, test_size=0.2, stratify=y)
    assert np.abs(np.bincount(val, minlength=3) - [90, 9, 1]).max() <= 1
    assert np.abs(np.bincount(test, minlength=3) - [180, 18, 2]).max() <= 1


def test_split_is_a_function_of_its_seed():
    def order(seed):
        return data.train_val_test_split(np.arange(40), seed=seed)[0][0].tolist()

    assert order(1) == order(1) != order(2)


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ((), {}, "one length"),
        ((np.arange(3), np.arange(4)), {}, r"\(3,\), \(4,\)"),
        ((np.arange(10),), {"val_size": 0.5, "test_size": 0.5}, "nothing to train on of 10"),
        ((np.arange(10),), {"val_size": -1}, "val_size .* got -1"),
        ((np.arange(10),), {"test_size": 1.0}, "test_size .* got 1.0"),
        ((np.arange(10),), {"test_size": float("nan")}, "test_size .* got nan"),
        ((np.arange(10),), {"stratify": np.arange(9)}, r"stratify .* \(10,\); got \(9,\)"),
    ],
)
def test_split_refuses(arrays, options, message):
    with pytest.raises(ValueError, match=message):
        data.train_val_test_split(*arrays, **options)


# --- scalers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2000, 5), (300, 3, 7), (1500, 2, 4, 4)])
def test_standard_scaler_gives_mean_0_and_deviation_1_per_channel(shape):
    # An offset of 1000 would cost a float32 variance most of its digits.
    x = (1000 + np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
    y = data.StandardScaler().fit_transform(x)
    axes = (0, *range(2, x.ndim))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.mean(axes, dtype=np.float64), 0, atol=2e-4)
    np.testing.assert_allclose(y.std(axes, dtype=np.float64), 1, atol=2e-4)


def test_scalers_agree_with_scikit_learn():
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    x = np.random.default_rng(1).random((60, 4)) * [1, 10, 100, 0]  # the last is constant
    for name in ("StandardScaler", "MinMaxScaler"):
        expected = getattr(preprocessing, name)().fit(x[:40]).transform(x)
        actual = getattr(data, name)().fit(x[:40]).transform(x)
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


def test_scaler_makes_a_constant_pixel_zero_and_leaves_its_input_alone():
    x = np.full((3, 2), 7, dtype=np.uint8)
    for scaler in (data.StandardScaler(), data.MinMaxScaler()):
        np.testing.assert_array_equal(scaler.fit_transform(x), np.zeros((3, 2), np.float32))
    np.testing.assert_array_equal(x, 7)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.empty((0, 3)), r"\[StandardScaler\] x is empty; got shape \(0, 3\)"),
        (np.array([[1.0], [np.nan]]), "NaN or infinity"),
        (np.array([[np.inf], [1.0]]), "NaN or infinity"),
        (np.arange(3.0), r"shape \(3,\)"),
        (np.array([["a"]]), "dtype <U1"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in subtract:RuntimeWarning")
def test_scaler_refuses_to_fit(x, message):
    with pytest.raises(ValueError, match=message):
        data.StandardScaler().fit(x)


def test_scaler_refuses_to_transform():
    with pytest.raises(ValueError, match="transform before fit"):
        data.StandardScaler().transform(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"fitted on 3 .* \(2, 4\)"):
        data.StandardScaler().fit(np.eye(3)).transform(np.zeros((2, 4)))
