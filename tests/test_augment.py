"""fastnn.augment: what transforms do to images, that recorded steps draw anew, what is refused."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from augmentations import EVERY, TRANSFORMS, images
from devices import place
from samples import FLOATS
from steps import batches, same_bits, training_step

import fastnn as fn
from fastnn import augment, nn, optim
from fastnn.nn import functional as F

Array = np.ndarray


def of(transform: Any, x: Array, seed: int = 0) -> Array:
    """The images as the transform changes them, after `manual_seed`."""
    fn.manual_seed(seed)
    y: Array = transform(place(x)).cpu().numpy()
    return y


# --- the generator, recorded steps, threads, layouts -------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@TRANSFORMS
def test_one_seed_gives_one_result(
    name: str, dtype: str, threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = images(9, 3, 10, 11, dtype=dtype)
    first = of(EVERY[name], x)
    assert first.dtype == dtype
    for n in (1, 2, 3):
        threads(n)
        monkeypatch.setenv("FASTNN_CUDA_ORDER", str(n))
        assert of(EVERY[name], x).tobytes() == first.tobytes()
    assert of(pickle.loads(pickle.dumps(EVERY[name])), x).tobytes() == first.tobytes()
    assert of(EVERY[name], x, seed=1).tobytes() != first.tobytes()
    assert x.tobytes() == images(9, 3, 10, 11, dtype=dtype).tobytes()


@TRANSFORMS
def test_each_image_is_changed_in_its_own_way(name: str) -> None:
    y = of(EVERY[name], np.repeat(images(1, 3, 10, 11), 9, 0))
    assert len({image.tobytes() for image in y}) > 1


@TRANSFORMS
def test_a_recorded_step_draws_anew_and_gives_the_same_bits(name: str) -> None:
    x = images(4, 3, 10, 11)

    def run(compile: Any) -> Any:
        step = compile(lambda x: EVERY[name](x) * 2)
        results = [step(place(x)).cpu().numpy().copy() for _ in range(4)]
        assert len({r.tobytes() for r in results}) > 1
        return [fn.tensor(r) for r in results]

    same_bits(run, recordings=1)


@TRANSFORMS
def test_channels_last_images(name: str) -> None:
    x = images(4, 3, 10, 11)
    last = x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(of(EVERY[name], last), of(EVERY[name], x))


# Noise and jitter are sums and products of the library's own, whose last bits may differ.
EXACT = [name for name in EVERY if name not in ("noise", "jitter", "all")]


def digest(device: str) -> str:
    """Of what the exact transforms and MixUp make there."""
    found = hashlib.sha256()
    for dtype in FLOATS:
        x = images(5, 3, 10, 11, dtype=dtype)
        fn.manual_seed(2)
        results = [EVERY[name](fn.tensor(x, device=device)) for name in EXACT]
        labels = fn.tensor(np.arange(5), device=device)
        for per_example in (False, True):
            mix = augment.MixUp(0.3, 5, per_example)
            results += mix(fn.tensor(x, device=device), labels)
        for y in results:
            found.update(y.cpu().numpy().tobytes())
    return found.hexdigest()


def test_a_gpu_gives_the_same_bits() -> None:
    assert digest(str(fn.get_default_device())) == digest("cpu")


@pytest.mark.cpu_only("instruction sets")
@pytest.mark.parametrize("isa", fn._C.config()["isa_found"])
def test_every_instruction_set_gives_the_same_bits(isa: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", "from test_augment import digest; print(digest('cpu'))"],
        env={**os.environ, "FASTNN_ISA": isa},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert run.stdout.strip() == digest("cpu")


def test_training_with_it_inside_the_step() -> None:
    def train(compile: Any) -> Any:
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
        opt = optim.SGD(model.parameters(), lr=0.1)
        plain = training_step(model, opt)
        change = augment.Compose(
            [augment.RandomAffine(15), augment.ElasticTransform(8, 2), augment.MixUp(0.5, 5)]
        )
        step = compile(lambda x, y: plain(*change(x, y)))
        losses = [step(*batch) for batch in batches(5, 6, 1, 8, 8)]
        return losses, model.state_dict()

    same_bits(train, recordings=1)


def test_arrays_are_taken_on_the_cpu() -> None:
    x = images(2, 1, 6, 6)
    fn.manual_seed(0)
    y = augment.RandomRotation(30)(x)
    fn.manual_seed(0)
    assert isinstance(y, fn.Tensor)
    same = augment.RandomRotation(30)(fn.tensor(x, device="cpu"))
    np.testing.assert_array_equal(y.numpy(), same.numpy())


# --- what they do -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "transform",
    [
        augment.RandomAffine(0, (0, 0), (1, 1), 0),
        augment.RandomRotation((360, 360)),
        augment.Shift(0),
        augment.RandomCrop((9, 12)),
        augment.RandomHorizontalFlip(0),
        augment.RandomVerticalFlip(0.0),
        augment.ElasticTransform(0),
        augment.RandomErasing(0),
        augment.ColorJitter(),
        augment.Compose([augment.RandomHorizontalFlip(1), augment.RandomHorizontalFlip(1)]),
        augment.Compose([]),
    ],
    ids=repr,
)
def test_nothing_to_change_leaves_every_bit(transform: Any, dtype: str) -> None:
    x = images(3, 2, 9, 12, dtype=dtype)
    x[0, 0, :2, :4] = (np.nan, np.inf, -np.inf, -0.0)
    assert of(transform, x).tobytes() == x.tobytes()


def test_flips_and_quarters_of_a_turn_are_exact() -> None:
    x = images(5, 2, 6, 6)
    np.testing.assert_array_equal(of(augment.RandomHorizontalFlip(1), x), x[..., ::-1])
    np.testing.assert_array_equal(of(augment.RandomVerticalFlip(1), x), x[..., ::-1, :])
    turned = of(augment.RandomRotation((90, 90)), x)  # counter-clockwise, as NumPy's
    np.testing.assert_array_equal(turned, np.rot90(x, axes=(2, 3)))
    clockwise = of(augment.RandomAffine((90, 90)), x)
    np.testing.assert_array_equal(clockwise, np.rot90(x, -1, axes=(2, 3)))
    some = of(augment.RandomHorizontalFlip(0.25), images(1, 1, 1, 2).repeat(4000, 0))
    flipped = (some[:, 0, 0, 0] != images(1, 1, 1, 2)[0, 0, 0, 0]).mean()
    assert abs(flipped - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 4000)


def shifts_of(y: Array) -> tuple[Array, Array]:
    """How far the only bright pixel, once at (8, 8), has gone in each image."""
    assert (y.sum((1, 2, 3)) == 1).all()
    at = y[:, 0].reshape(len(y), -1).argmax(1)
    return at // y.shape[3] - 8, at % y.shape[3] - 8


def dots(n: int) -> Array:
    x = np.zeros((n, 1, 17, 17), np.float32)
    x[:, 0, 8, 8] = 1
    return x


def test_shifts_are_whole_pixels_and_all_alike() -> None:
    n = 6000
    dy, dx = shifts_of(of(augment.Shift((1, 3)), dots(n)))
    for moved, most in ((dy, 1), (dx, 3)):
        share = np.bincount(moved + most) / n
        assert len(share) == 2 * most + 1
        p = 1 / len(share)
        assert (abs(share - p) < 5 * np.sqrt(p * (1 - p) / n)).all()
    assert abs(np.corrcoef(dy, dx)[0, 1]) < 5 / np.sqrt(n)
    dy, dx = shifts_of(of(augment.RandomCrop(17, padding=(2, 4)), dots(n)))
    assert (dy.min(), dy.max(), dx.min(), dx.max()) == (-4, 4, -2, 2)
    dy, dx = shifts_of(of(augment.RandomAffine(0, translate=(0.2, 0.1)), dots(n)))
    assert (dy.min(), dy.max(), dx.min(), dx.max()) == (-2, 2, -3, 3)  # of 1.7 and 3.4


def test_crops_come_from_everywhere() -> None:
    numbered = np.arange(1.0, 73).reshape(1, 1, 8, 9)
    y = of(augment.RandomCrop((3, 5), padding=(0, 1)), numbered.repeat(600, 0))
    padded = np.pad(numbered[0, 0], ((1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 5)).reshape(-1, 3, 5)
    assert {crop.tobytes() for crop in y} == {window.tobytes() for window in windows}


def test_angles_fill_their_range() -> None:
    n = 3000
    ramp = np.broadcast_to(np.arange(-8, 9, dtype=np.float64), (n, 1, 17, 17)).copy()
    y = of(augment.RandomRotation(30), ramp)[:, 0]
    # Value x of the ramp, turned: x cos a - y sin a, whose slopes in the middle tell the angle.
    angles = np.degrees(np.arctan2(y[:, 9, 8] - y[:, 7, 8], y[:, 8, 9] - y[:, 8, 7]))
    assert -30 <= angles.min() < -29
    assert 29 < angles.max() <= 30
    assert abs(angles.mean()) < 5 * 30 / np.sqrt(3 * n)
    assert abs(angles.std() / (30 / np.sqrt(3)) - 1) < 0.05
    scales = np.hypot(y[:, 9, 8] - y[:, 7, 8], y[:, 8, 9] - y[:, 8, 7]) / 2
    np.testing.assert_allclose(scales, 1, rtol=1e-6)
    y = of(augment.RandomAffine(0, scale=(0.5, 2)), ramp)[:, 0]
    scales = 2 / (y[:, 8, 9] - y[:, 8, 7])
    assert 0.5 <= scales.min() < 0.51
    assert 1.98 < scales.max() <= 2


def test_an_elastic_field_is_as_strong_as_its_formula_and_smooth() -> None:
    n, alpha, sigma = 60, 20.0, 3.0
    ramp = np.broadcast_to(np.arange(40.0), (n, 1, 40, 40)).copy()
    moved = (of(augment.ElasticTransform(alpha, sigma, fill="edge"), ramp) - ramp)[:, 0]
    inside = moved[:, :, 8:-8]
    # Noise of variance 1/3, smoothed in two dimensions: 1 / (4 pi sigma^2) of it is left.
    expected = alpha * np.sqrt(1 / 3 / (4 * np.pi * sigma**2))
    assert abs(inside.std() / expected - 1) < 0.1
    assert abs(inside.mean()) < 0.05 * alpha / sigma
    neighbours = np.corrcoef(inside[:, :-1].ravel(), inside[:, 1:].ravel())[0, 1]
    assert abs(neighbours - np.exp(-1 / (4 * sigma**2))) < 0.01
    per_row = moved[:, [0, 20, 39], 8:-8].std((0, 2))  # as strong at the border as within
    assert (abs(per_row / expected - 1) < 0.25).all()


def test_fill_and_edge() -> None:
    x = np.ones((3, 1, 6, 6), np.float32)
    away = augment.RandomAffine((45, 45), fill=0.25)
    y = of(away, x)
    assert (y[:, :, 0, 0] == 0.25).all()
    assert (of(augment.RandomAffine((45, 45), scale=(0.3, 0.5), fill="edge"), x) == 1).all()


def test_compose_resamples_once() -> None:
    x = images(4, 1, 12, 12)
    back = augment.Compose([augment.RandomRotation((33, 33)), augment.RandomRotation((-33, -33))])
    inner = np.s_[:, :, 4:8, 4:8]
    np.testing.assert_allclose(of(back, x)[inner], x[inner], atol=1e-5)
    # Different fills cannot share a resampling: two blur.
    twice = augment.Compose(
        [augment.RandomRotation((33, 33)), augment.RandomRotation((-33, -33), fill=1)]
    )
    assert abs(of(twice, x)[inner] - x[inner]).max() > 0.01
    # Order matters: a shift to the right, then a mirror.
    order = augment.Compose([augment.RandomAffine(0), augment.Shift(0)])
    order.transforms[0].stages = lambda size: [augment.geometry.Stage(x=(3, 3))]
    mirrored = augment.Compose([*order.transforms, augment.RandomHorizontalFlip(1)])
    expected = np.zeros_like(x)
    expected[..., 3:] = x[..., :-3]
    np.testing.assert_array_equal(of(mirrored, x), expected[..., ::-1])


def test_more_maps_than_one_resampling_takes() -> None:
    x = images(2, 1, 8, 8)
    many = augment.Compose([augment.RandomRotation((90, 90))] * 12)
    np.testing.assert_array_equal(of(many, x), x)
    fields = augment.Compose([augment.ElasticTransform(2, 1)] * 2)
    assert of(fields, x).shape == x.shape


def test_erased_rectangles_are_of_the_asked_sizes() -> None:
    n, side = 2000, 40
    y = of(augment.RandomErasing(0.7, (0.1, 0.2), (0.5, 2), value=0), np.ones((n, 1, side, side)))
    erased = y[:, 0] == 0
    some = erased.any((1, 2))
    assert abs(some.mean() - 0.7) < 5 * np.sqrt(0.7 * 0.3 / n)
    rows, columns = erased.any(2).sum(1)[some], erased.any(1).sum(1)[some]
    area, ratio = rows * columns / side**2, rows / columns
    assert (erased.sum((1, 2))[some] == rows * columns).all()  # a rectangle
    assert 0.09 < area.min() < 0.11
    assert 0.19 < area.max() < 0.215
    assert 0.45 < ratio.min() < 0.6
    assert 1.7 < ratio.max() < 2.2
    cut = of(augment.Cutout((4, 6), value=2.0), np.ones((n, 3, 20, 20))) == 2
    assert cut.sum((2, 3)).max() == 24
    assert cut.any((2, 3)).all()
    assert (cut[:, 0] == cut[:, 2]).all()
    assert cut.mean(0).min() > 0  # every pixel is reached


def test_noise_and_jitter() -> None:
    grey = np.full((50, 1, 20, 20), 0.5)
    noise = of(augment.GaussianNoise(0.05, 0.1, clip=False), grey) - 0.5
    assert abs(noise.mean() - 0.05) < 5 * 0.1 / np.sqrt(noise.size)
    assert abs(noise.std() / 0.1 - 1) < 5 / np.sqrt(2 * noise.size)
    clipped = of(augment.GaussianNoise(0, 3), grey)
    assert (clipped.min(), clipped.max()) == (0, 1)

    x = images(500, 3, 4, 4, dtype="float64") / 4 + 0.25
    factor = (of(augment.ColorJitter(brightness=0.5), x) / x).reshape(500, -1)
    np.testing.assert_allclose(factor, factor[:, :1].repeat(48, 1))  # one for an image
    assert 0.5 <= factor.min() < 0.52
    assert 1.48 < factor.max() <= 1.5
    y = of(augment.ColorJitter(contrast=(0.5, 1)), x)
    mean = np.tensordot([0.2989, 0.587, 0.114], x, (0, 1)).mean((1, 2)).reshape(-1, 1, 1, 1)
    factor = ((y - mean) / (x - mean)).reshape(500, -1)
    np.testing.assert_allclose(factor, factor[:, :1].repeat(48, 1), rtol=1e-6)
    assert 0.5 <= factor.min() < 0.51
    assert 0.99 < factor.max() <= 1


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 4.0])
def test_mixup_shares_are_beta(alpha: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    n = 4000
    x = np.arange(n, dtype=np.float64)[:, None]
    fn.manual_seed(0)
    mixed, soft = augment.MixUp(alpha, n, per_example=True)(place(x), place(np.arange(n)))
    mixed, soft = mixed.cpu().numpy(), soft.cpu().numpy()
    share = np.diagonal(soft)
    assert stats.kstest(share, stats.beta(alpha, alpha).cdf).pvalue > 0.01
    np.testing.assert_allclose(soft.sum(1), 1)
    np.testing.assert_allclose(mixed[:, 0], soft @ x[:, 0], atol=1e-8)  # by the same shares


def test_mixup_of_a_batch() -> None:
    x, y = images(6, 1, 3, 3), np.arange(6) % 4
    shares, partners = [], set()
    for seed in range(40):
        fn.manual_seed(seed)
        mixed, soft = (
            t.cpu().numpy() for t in augment.MixUp(1.0, 6)(place(x), place(np.arange(6)))
        )
        share = soft[0, 0]
        np.testing.assert_array_equal(np.diagonal(soft), share)
        partner = (np.roll(soft[0], -1)[:-1].argmax() + 1) % 6
        np.testing.assert_allclose(mixed, share * x + (1 - share) * np.roll(x, -partner, 0), 1e-5)
        shares.append(share)
        partners.add(partner)
    assert partners == {1, 2, 3, 4, 5}
    assert len(set(shares)) == 40
    fn.manual_seed(0)
    once, soft = augment.MixUp(1.0, 4)(place(x), place(y))
    fn.manual_seed(0)
    again, given = augment.MixUp(1.0, 4)(place(x), place(np.eye(4, dtype=np.float32)[y]))
    np.testing.assert_allclose(given.cpu().numpy(), soft.cpu().numpy(), atol=1e-7)
    assert F.cross_entropy(place(np.zeros((6, 4), np.float32)), soft).item() > 0
    np.testing.assert_array_equal(once.cpu().numpy(), again.cpu().numpy())


@pytest.mark.cpu_only("what a Trainer calls")
def test_a_trainer_gives_targets_to_what_mixes_them() -> None:
    from fastnn.train import Trainer

    seen = []

    def loss(outputs: fn.Tensor, targets: fn.Tensor) -> fn.Tensor:
        seen.append(targets.shape)
        return F.cross_entropy(outputs, targets)

    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 5))
    change = augment.Compose([augment.Shift(1), augment.MixUp(1.0, 5)])
    trainer = Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1), augment=change)
    trainer.fit((images(8, 1, 6, 6), np.arange(8) % 5), epochs=1, batch_size=4)
    assert (4, 5) in seen
