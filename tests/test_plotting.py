"""Pictures: what is on their axes, and what they refuse."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
import pytest

import fastnn as fn
from fastnn import augment, nn, plotting

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.cpu_only("pictures are drawn from NumPy arrays")


def rows(epochs=5, scale=1.0):
    return [
        {
            "epoch": float(e),
            "step": 10 * e,
            "seconds": 0.5 * e,
            "loss": scale / e,
            "val_loss": 2 * scale / e,
            "accuracy": 1 - 0.5 / e,
            "val_accuracy": 1 - 0.6 / e,
        }
        for e in range(1, epochs + 1)
    ]


def points(line):
    return list(zip(*(np.asarray(d).tolist() for d in line.get_data()), strict=True))


# --- curves -------------------------------------------------------------------------------------


def test_curves_of_one_run():
    figure = plotting.curves(rows())
    loss, accuracy = figure.axes
    assert [line.get_label() for line in loss.lines] == ["training", "validation"]
    assert points(loss.lines[1]) == [(e, 2 / e) for e in range(1, 6)]
    assert points(accuracy.lines[0])[1] == (2, 75)
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("epoch", "loss")
    assert accuracy.get_ylabel() == "accuracy (%)"
    assert [t.get_text() for t in loss.get_legend().get_texts()] == ["training", "validation"]


def test_curves_leave_out_what_a_row_lacks():
    history = rows(4)
    del history[1]["val_loss"], history[2]["loss"]
    history[3]["loss"] = float("nan")
    training, validation = plotting.curves(history, metrics=["loss"]).axes[0].lines
    assert [x for x, _ in points(validation)] == [1, 3, 4]
    assert [x for x, y in points(training) if np.isfinite(y)] == [1, 2]


def test_curves_of_other_columns():
    history = [
        dict(row, test_loss=3.0, f1=0.5, val_f1=0.4, epoch=row["epoch"] / 2) for row in rows()
    ]
    loss, accuracy = plotting.curves(history).axes
    assert [line.get_label() for line in loss.lines] == ["training", "validation", "test"]
    assert len(accuracy.lines) == 2
    (f1,) = plotting.curves(history, metrics=["f1"]).axes
    assert f1.get_ylabel() == "f1"
    assert points(f1.lines[1])[0] == (0.5, 0.4)


def test_curves_over_an_epoch_window_and_seconds_and_logarithms():
    figure = plotting.curves(rows(9), epochs=(3, 5), against="seconds", log_x=True, log_y=True)
    loss, accuracy = figure.axes
    assert [x for x, _ in points(loss.lines[0])] == [1.5, 2.0, 2.5]
    assert loss.get_xlabel() == "wall-clock time (s)"
    assert (loss.get_xscale(), loss.get_yscale()) == ("log", "log")
    assert (accuracy.get_xscale(), accuracy.get_yscale()) == ("log", "linear")


@pytest.mark.parametrize("count", [2, 12])
def test_curves_of_several_runs(count):
    figure = plotting.curves({f"run {i}": rows(scale=i + 1) for i in range(count)})
    loss = figure.axes[0]
    assert len(loss.lines) == 2 * count
    assert len({str(line.get_color()) for line in loss.lines}) == count
    assert points(loss.lines[2])[0] == (1, 2)
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == [*(f"run {i}" for i in range(count)), "training", "validation"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"history": []}, "expected a row for each epoch; got none"),
        ({"history": {}}, "at least one run; got none"),
        ({"history": {"a": rows(), "b": []}}, "a row for each epoch of b; got none"),
        ({"history": [{"loss": 1.0}]}, "number 'epoch' in row 0; got {'loss'"),
        ({"history": [1.0]}, "number 'epoch' in row 0; got 1.0"),
        ({"history": [{"epoch": 1.0, "lr": 0.1}]}, "no metrics; the rows have epoch, lr"),
        ({"history": rows(), "metrics": ["f1"]}, "no column of 'f1'; the rows have epoch, step"),
        ({"history": rows(), "against": "time"}, "against must be one of epoch, step, seconds"),
        ({"history": [{"epoch": 1, "loss": 1}], "against": "step"}, "number 'step' in row 0"),
        ({"history": rows(), "epochs": (7, 9)}, r"no rows in epochs \(7, 9\): they are of 1 to 5"),
        ({"history": [{"epoch": 1, "loss": float("nan")}]}, "finite values of 'loss'; got none"),
        ({"history": rows(), "path": "curves.jpg"}, r"ends in \.png or \.svg; got 'curves\.jpg'"),
    ],
)
def test_curves_refuse(arguments, message):
    with pytest.raises(ValueError, match=rf"^\[curves\] .*{message}"):
        plotting.curves(**arguments)


# --- other lines --------------------------------------------------------------------------------


def test_gradient_norms():
    steps = [{"step": s, "gradients": {"0.weight": 0.1 / s, "2.weight": 1.0}} for s in (1, 2, 3)]
    steps[1]["gradients"]["0.weight"] = 0.0  # a dead layer is drawn too
    figure = plotting.gradient_norms(steps)
    (axes,) = figure.axes
    assert axes.get_yscale() == "log"
    assert [line.get_label() for line in axes.lines] == ["0.weight", "2.weight"]
    assert points(axes.lines[0]) == [(1, 0.1), (2, 0), (3, 0.1 / 3)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "gradient length")


def test_legends_fit():
    names = {f"{i}.weight": 1.0 for i in range(60)}
    row = {"epoch": 1, "loss": 1.0}
    for figure in (
        plotting.gradient_norms([{"step": 1, "gradients": names}]),
        plotting.curves({name: [row] for name in names}),
    ):
        figure.draw_without_rendering()
        legend = figure.legends[0].get_window_extent()
        assert legend.y0 >= 0
        assert legend.y1 <= figure.bbox.height


def test_an_epoch_alone_has_whole_ticks():
    (axes,) = plotting.curves([{"epoch": 1, "loss": 1.0}]).axes
    assert all(tick == round(tick) for tick in axes.get_xticks())
    with pytest.raises(TypeError, match="metrics must be a list of names; got 'loss'"):
        plotting.curves([{"epoch": 1, "loss": 1.0}], metrics="loss")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "a row for each step; got none"),
        ([{"step": 1}], "'step' and 'gradients' in row 0"),
        ([{"step": 1, "gradients": {}}], "at least one gradient"),
        ([{"step": 1, "gradients": {"a": float("nan")}}], "finite gradients of a; got 1 of 2"),
        ([{"step": 1, "gradients": {"a": -1.0}}], r"lengths >= 0 of a; got -1"),
    ],
)
def test_gradient_norms_refuse(given, message):
    with pytest.raises(ValueError, match=rf"^\[gradient_norms\] .*{message}"):
        plotting.gradient_norms(given)


def test_lr_finder():
    rates = np.geomspace(1e-4, 1, 5)
    (axes,) = plotting.lr_finder(rates, [2.0, 1.5, 1.0, 50.0, np.nan], 3e-3).axes
    curve, mark = axes.lines
    assert points(curve)[:3] == list(zip(rates[:3], (2.0, 1.5, 1.0), strict=True))
    assert mark.get_label() == "suggested: 0.003"
    assert axes.get_xscale() == "log"
    assert axes.get_ylim()[1] == 4  # twice the first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), r"rates with 1 axes, not empty; got shape \(0,\)"),
        (([1, 2], [1]), r"a loss for each rate, \(2,\); got \(1,\)"),
        (([0, 1], [1, 1]), "rates above 0; got 0"),
        (([1, 2], [np.nan, 1]), "finite first loss; got nan"),
        (([1, 2], [1, 1], -1), r"suggestion must be in \(0, inf\); got -1"),
    ],
)
def test_lr_finder_refuses(arguments, message):
    with pytest.raises(ValueError, match=rf"^\[lr_finder\] .*{message}"):
        plotting.lr_finder(*arguments)


# --- layers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight_shape", "shape", "tiles", "title"),
    [
        ((6, 1, 5, 5), None, (1, 6), "6 filters of 5×5"),
        ((20, 1, 3, 3), None, (3, 8), "20 filters of 3×3"),
        ((4, 3, 3, 2), None, (4, 3), "4 filters of 3×2, 3 input channels"),
        ((40, 20, 3, 3), None, (8, 8), "8 of 40 filters of 3×3, 8 of 20 input channels"),
        ((25, 1, 5), None, (4, 8), "25 filters of 1×5"),
        ((10, 12), (1, 4, 3), (2, 8), "10 filters of 4×3"),
        ((10, 12), (4, 3), (2, 8), "10 filters of 4×3"),
        ((10, 12), (12,), (2, 8), "10 filters of 1×12"),
        ((100, 4), (2, 2), (8, 8), "64 of 100 filters of 2×2"),
    ],
)
def test_filters(weight_shape, shape, tiles, title):
    weight = np.random.default_rng(0).normal(size=weight_shape)
    axes = plotting.filters(weight, shape=shape).axes[0]
    assert axes.get_title() == title
    assert (len(axes.get_yticks()), len(axes.get_xticks())) == tiles
    image = axes.images[0]
    assert image.get_clim()[0] == -image.get_clim()[1]
    # the first weight stands in the top left corner, the gaps are empty
    assert image.get_array()[0, 0] == pytest.approx(weight.flat[0])
    assert np.ma.is_masked(image.get_array()) or np.isnan(image.get_array()).any()


def test_filters_of_a_parameter():
    weight = nn.Conv2d(1, 4, 3).weight
    image = plotting.filters(weight).axes[0].images[0]
    assert image.get_clim()[1] == pytest.approx(np.abs(weight.detach().numpy()).max())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": np.ones(3)}, r"weight with 2 or 3 or 4 axes, not empty; got shape \(3,\)"),
        ({"weight": np.ones((2, 6))}, r"of together 6 inputs.*; got None"),
        ({"weight": np.ones((2, 6)), "shape": (2, 2)}, r"got \(2, 2\)"),
        ({"weight": np.ones((2, 1, 3, 3)), "shape": (3, 3)}, r"shape is for weight \(O, I\) alone"),
        ({"weight": np.full((2, 1, 3, 3), np.nan)}, "finite weight; got 18 of 18 values NaN"),
        ({"weight": np.ones((2, 1, 3, 3)), "limit": 0}, "limit must be at least 1; got 0"),
    ],
)
def test_filters_refuse(arguments, message):
    with pytest.raises(ValueError, match=rf"^\[filters\] .*{message}"):
        plotting.filters(**arguments)


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 10, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(360, 10)
    )


def test_feature_maps():
    model, image = convolutional(), np.random.default_rng(0).random((1, 8, 8))
    left, maps, _ = plotting.feature_maps(model, image, 2).axes
    expected = np.maximum(model[0](np.float32(image[None])).detach().numpy(), 0)
    assert maps.get_title() == "10 maps of layer 2, Dropout"
    assert maps.images[0].get_array()[0, 0] == pytest.approx(expected[0, 0, 0, 0])
    assert maps.images[0].get_clim() == pytest.approx((expected.min(), expected.max()))
    assert left.images[0].get_array().shape == (8, 8)
    assert all(module.training for module in model.modules())
    assert plotting.feature_maps(model, image, -4, limit=4).axes[1].get_title() == (
        "4 of 10 maps of layer 1, ReLU"
    )


def test_feature_maps_of_a_signal():
    model = nn.Sequential(nn.Conv1d(1, 5, 3), nn.ReLU())
    left, maps, _ = plotting.feature_maps(model, np.sin(np.arange(40.0))[None], 1).axes
    assert len(left.lines) == 1
    assert maps.get_title() == "5 maps of layer 1, ReLU"


@pytest.mark.parametrize(
    ("layer", "shape", "error", "message"),
    [
        (4, (1, 8, 8), ValueError, r"layer 4, Linear, gives \(1, 10\)"),
        (0, (8, 8, 8, 1), ValueError, "image with 2 or 3 axes"),
        (9, (1, 8, 8), IndexError, r"\[-5, 5\); got 9"),
    ],
)
def test_feature_maps_refuse(layer, shape, error, message):
    with pytest.raises(error, match=message):
        plotting.feature_maps(convolutional(), np.zeros(shape), layer)


def test_weight_histograms():
    model = convolutional()
    figure = plotting.weight_histograms(model, bins=20)
    first, second = figure.axes
    assert first.get_title().startswith("0.weight  10×1×3×3\n")
    assert second.get_title().startswith("4.weight  10×360\n")
    assert sum(patch.get_height() for patch in second.patches) == 3600
    assert len(plotting.weight_histograms(model.state_dict()).axes) == 2


def test_weight_histograms_refuse():
    with pytest.raises(ValueError, match=r"two or more axes; got \['bias'\]"):
        plotting.weight_histograms({"bias": np.ones(3)})
    with pytest.raises(ValueError, match=r"finite 0\.weight; got 1 of 4 values NaN"):
        plotting.weight_histograms({"0.weight": np.array([[1, 2], [3, np.inf]])})


# --- classes ------------------------------------------------------------------------------------


def test_mistakes_are_sorted_and_named():
    x = np.random.default_rng(0).random((5, 1, 4, 4))
    scores = 4 * np.eye(3)[[0, 1, 2, 0, 1]]
    scores[3] *= 2  # more certain than the mistake before it
    figure = plotting.mistakes(x, np.array([0, 0, 2, 1, 1]), scores, ("a", "b", "c"))
    shown = [axes for axes in figure.axes if axes.has_data()]
    assert [axes.get_title().split(" (")[0] for axes in shown] == ["b → a", "a → b"]
    assert figure.get_suptitle().startswith("2 of 5 wrong: ")
    np.testing.assert_allclose(shown[0].images[0].get_array(), x[3, 0])


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_other_ranges(channels):
    """uint8 is over 255, other numbers from the lowest to the highest of those that are shown."""
    grey = np.random.default_rng(0).integers(0, 256, (2, channels, 4, 4))
    scores = 4 * np.eye(2)[[0, 1]]

    def first(x):
        shown = plotting.mistakes(x, [1, 0], scores, ("a", "b")).axes[0].images[0].get_array()
        return np.asarray(shown if channels == 1 else shown.transpose(2, 0, 1))

    np.testing.assert_allclose(first(grey.astype(np.uint8)), grey[0].squeeze() / 255, rtol=1e-6)
    low, high = grey.min(), grey.max()
    expected = (grey[0].squeeze() - low) / (high - low)
    np.testing.assert_allclose(first((grey - 100) / 40), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.ones((2, 4))}, r"x with 3 or 4 axes, not empty; got shape \(2, 4\)"),
        ({"logits": np.ones((2, 4))}, r"logits \(2, 3\) for 2 examples and 3 classes; got \(2, 4"),
        ({"logits": np.full((2, 3), np.nan)}, "finite logits; got 6 of 6"),
        ({"y": [0, 3]}, r"labels in \[0, 3\); got 0 to 3"),
        ({"y": [0]}, "expected 2 labels, one an example; got 1"),
    ],
)
def test_mistakes_refuse(change, message):
    given = {"x": np.ones((2, 1, 4, 4)), "y": [0, 1], "logits": np.ones((2, 3)), "classes": "abc"}
    with pytest.raises(ValueError, match=rf"^\[mistakes\] .*{message}"):
        plotting.mistakes(**given | change)


def test_confusion_matrix():
    counts = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    axes = plotting.confusion_matrix(counts, ["a", "b", "c"]).axes[0]
    assert axes.images[0].get_array().tolist() == [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]]
    cells = {(*map(int, text.get_position()),): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "1", (1, 0): "1", (1, 1): "1", (2, 2): "1"}
    assert axes.get_title() == "3 of 4 right (75.00%)"
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b", "c"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1, 2]],), r"counts \(C, C\), whole numbers of 0 and more; got int64 \(1, 2\)"),
        (([[0.5]],), r"got float64 \(1, 1\)"),
        (([[-1]],), r"the least -1"),
        (([[1]], "ab"), "the names of 1 classes; got 2"),
        (([],), r"counts with 2 axes, not empty; got shape \(0,\)"),
    ],
)
def test_confusion_matrix_refuses(arguments, message):
    with pytest.raises(ValueError, match=rf"^\[confusion_matrix\] .*{message}"):
        plotting.confusion_matrix(*arguments)


def test_reliability_diagram():
    curve = ([np.nan, np.nan, 0.7, 0.95], [np.nan, np.nan, 0.75, 0.0], [0, 0, 4, 2])
    above, below = plotting.reliability_diagram(curve).axes
    assert [bar.get_height() for bar in above.patches] == [75, 0]
    assert [bar.get_x() + bar.get_width() / 2 for bar in above.patches] == [0.625, 0.875]
    assert [bar.get_height() for bar in below.patches] == [0, 0, 4, 2]
    assert above.get_title() == f"Expected calibration error {(4 * 0.05 + 2 * 0.95) / 6:.1%}"
    assert below.get_xlabel() == "highest probability (confidence)"


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        (([0.5], [0.5], [1, 2]), r"of one shape \(bins,\); got \(1,\), \(1,\), \(2,\)"),
        (([np.nan], [0.5], [1]), "finite confidence; got 1 of 1"),
        (([0.5], [50], [1]), "from 0 to 1; got 0.5 to 0.5 and 50 to 50"),
        (([0.5], [0.5], [0]), "confidence with 1 axes, not empty"),
    ],
)
def test_reliability_diagram_refuses(curve, message):
    with pytest.raises(ValueError, match=rf"^\[reliability_diagram\] .*{message}"):
        plotting.reliability_diagram(curve)


def test_latent_plane():
    codes = np.array([[0, 0], [1, 0], [4, 2]], np.float32)
    asked = []

    def decode(points):
        asked.append(points.numpy())
        return points[:, :1].reshape(-1, 1, 1) * fn.ones(1, 3, 3)

    scatter, plane = plotting.latent_plane(codes, [0, 0, 1], decode, steps=3).axes
    assert [part.get_offsets().tolist() for part in scatter.collections] == [
        [[0, 0], [1, 0]],
        [[4, 2]],
    ]
    assert [text.get_text() for text in scatter.texts] == ["0", "1"]
    # top left first, as in the scatter
    assert asked[0].tolist() == [[x, y] for y in (2, 1, 0) for x in (0, 2, 4)]
    assert plane.images[0].get_array()[0, -1] == 4
    assert plane.get_title() == "3×3 points of the plane, decoded"
    assert len(plotting.latent_plane(codes, [0, 0, 1]).axes) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1, 2, 3]], [0]), r"codes \(N, 2\); got \(1, 3\)"),
        (([[1, np.inf]], [0]), "finite codes"),
        (([[1, 2]], [0, 1]), "expected 1 labels, one an example; got 2"),
        (([[1, 2]], [0], lambda z: z), r"decoded pictures with 3 or 4 axes"),
        (([[1, 2]], [0], lambda z: fn.ones(2, 2, 2)), r"decode to give \(225, H, W\) or"),
    ],
)
def test_latent_plane_refuses(arguments, message):
    with pytest.raises(ValueError, match=rf"^\[latent_plane\] .*{message}"):
        plotting.latent_plane(*arguments)


def test_a_preview_has_each_image_above_its_versions():
    x = np.random.default_rng(0).random((10, 1, 4, 4))
    figure = augment.preview(x, lambda x: 1 - x, rows=2)
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert len(shown) == 3 * 8
    np.testing.assert_allclose(shown[7], x[7, 0])
    np.testing.assert_allclose(shown[16], 1 - x[0, 0])
    with pytest.raises(ValueError, match=r"\[preview\] expected x with 4 axes"):
        augment.preview(x[:, 0], lambda x: x)


# --- files --------------------------------------------------------------------------------------

DRAW = [
    partial(plotting.curves, rows()),
    partial(plotting.curves, {"a": rows(), "b": rows(40)}),
    partial(plotting.gradient_norms, [{"step": 1, "gradients": {"0.weight": 1.0}}]),
    partial(plotting.lr_finder, [0.1, 1], [2, 1]),
    partial(plotting.filters, np.ones((6, 1, 5, 5))),
    partial(plotting.weight_histograms, {"weight": np.eye(3)}),
    partial(plotting.mistakes, np.ones((2, 3, 40)), [0, 1], np.eye(2)[::-1], ["no", "long one"]),
    partial(plotting.mistakes, np.ones((2, 3, 4, 4)), [0, 1], np.eye(2), "ab"),
    partial(plotting.confusion_matrix, [[1, 2], [0, 3]], ["no", "long one"]),
    partial(plotting.reliability_diagram, ([0.2, 0.7], [0.3, 1], [5, 7])),
    partial(plotting.latent_plane, [[0, 1], [1, 2]], [0, 11]),
]


@pytest.mark.parametrize("draw", DRAW, ids=lambda draw: draw.func.__name__)
def test_files_are_png_or_svg(draw, tmp_path):
    figure = draw(path=tmp_path / "picture.png")
    content = (tmp_path / "picture.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = (int.from_bytes(content[i : i + 4], "big") for i in (16, 20))
    assert [width, height] == pytest.approx(figure.get_size_inches() * 120, abs=1)
    draw(path=str(tmp_path / "picture.svg"))
    assert b"<svg" in (tmp_path / "picture.svg").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picture.png", "picture.svg"]


def test_neither_pyplot_nor_the_settings_are_touched():
    code = (
        "import sys; from fastnn import plotting; assert 'matplotlib' not in sys.modules\n"
        "import matplotlib; settings = lambda: str({k: matplotlib.rcParams[k]\n"
        "    for k in matplotlib.rcParams if k != 'backend'}); before = settings()\n"
        "plotting.curves([{'epoch': 1, 'loss': 1.0}])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert settings() == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
