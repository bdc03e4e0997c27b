"""The first value outside [lowest, highest]: what checks of labels and indices ask for."""

import numpy as np

from fastnn.testing import Case, Spec, given, integers, specials, uniform


def first_outside(x, lowest, highest, ignored=None):
    inside = (x >= lowest) & (x <= highest)
    if ignored is not None:
        inside |= (x == ignored) | (np.isnan(x) & np.isnan(ignored))
    outside = np.flatnonzero(~inside)
    return np.array(outside[0] if outside.size else x.size), None


def case(name, x, lowest, highest, **attrs):
    return Case(name, {"input": x}, {"lowest": lowest, "highest": highest} | attrs)


def late(n, at, value, dtype):
    x = np.ones(n, dtype)
    x[at] = value
    return given(x)


SPECS = [
    Spec(
        "find_outside",
        first_outside,
        [
            case("plain", (5, 7), -1.5, 1.5),
            case("none", uniform(0, 1, 300), 0.0, 1.0),
            case("the first of all", given([7, 1, 1]), 0, 1),
            case("the last of all", late(1000, 999, 5, np.int64), 0, 4),
            case("below", late(130, 128, -1, np.int64), 0, 4),
            case("several", integers(0, 9, 5000), 0, 7),
            case("behind whole blocks", late(5001, 4999, 2, np.int32), 0, 1),
            case("bytes", late(200, 77, 255, np.uint8), 0, 254),
            case("bool", given(np.array([True, True, False])), 1, 1),
            case("ignored", given([0, -100, 3, 8]), 0, 7, ignored=-100),
            case("NaN, infinities", specials(50), -100.0, 100.0),
            case("NaN ignored", given([0.0, np.nan, 0.5, np.inf]), 0.0, 1.0, ignored=np.nan),
            case("an empty range", given([0, 1]), 0, -1),
            case("nothing", given(np.zeros(0)), 0.0, 1.0),
            case("several in a large one", uniform(0, 1, 70001), 0.0, 0.9999),
        ],
        kernels=["find_outside"],
    )
]
