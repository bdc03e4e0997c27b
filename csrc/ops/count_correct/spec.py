"""Rows whose largest value stands at the target: the accuracy that a compiled step counts."""

import numpy as np

from fastnn.testing import Case, Spec, integers, ties


def counted(x, target, ignore_index=-100):
    return np.array(((x.argmax(1) == target) & (target != ignore_index)).sum()), None


def case(name, shape, maker=None, **attrs):
    rows, classes = shape
    target = integers(0, classes, rows)
    return Case(name, {"input": maker or shape, "target": target}, attrs, grad=False)


SPECS = [
    Spec(
        "count_correct",
        counted,
        [
            case("plain", (20, 10)),
            case("ties: the first counts", (300, 4), ties(300, 4)),
            case("one class", (7, 1)),
            case("a class is ignored", (60, 3), ignore_index=1),
            case("one row", (1, 3)),
            case("no rows", (0, 3)),
            case("more rows than threads", (1000, 3)),
        ],
        kernels=["count_correct"],
    )
]
