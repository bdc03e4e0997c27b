"""y[i] = a[i] op b[i], where dimensions of size 1, and missing ones, repeat."""

import numpy as np

from fastnn.testing import Case, Spec, exact, given, integers, specials, ties, uniform

ARITHMETIC = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
}
COMPARISONS = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
SHAPES = {
    "plain": ((3, 5, 4), (3, 5, 4)),
    "0 dimensions": ((), ()),
    "one element": ((1,), (1,)),
    "empty": ((0, 3), (1, 3)),
    "tail lanes": ((127,), (127,)),
    "a row repeats": ((5, 129), (129,)),
    "a column repeats": ((5, 129), (5, 1)),
    "both repeat": ((7, 1, 3), (1, 6, 1)),
    "a number repeats": ((4, 33), ()),
    "the first repeats": ((11,), (2, 5, 11)),
    "channels repeat": ((2, 3, 4, 5), (3, 1, 1)),
    "seven dimensions": ((2, 1, 2, 1, 3, 1, 2), (1, 2, 1, 2, 1, 3, 1)),
    "several threads": ((5, 8209), (5, 8209)),
}


def cases(a_low, a_high, b_low, b_high):
    return [
        Case(name, {"a": uniform(a_low, a_high, *a), "b": uniform(b_low, b_high, *b)})
        for name, (a, b) in SHAPES.items()
    ]


ODD_PAIRS = {
    "a": given(np.repeat([0.0, -0.0, 1, -2, np.nan, np.inf, -np.inf], 7)),
    "b": given(np.tile([0.0, -0.0, 1, -2, np.nan, np.inf, -np.inf], 7)),
}
ODD = [
    Case("NaN and infinity, in pairs", ODD_PAIRS, grad=False),
    Case("NaN against a repeated row", {"a": specials(5, 19), "b": (19,)}, grad=False),
    Case("ties", {"a": ties(6, 9), "b": ties(9)}, grad=False),
]
INTEGERS = [
    Case("int64", {"a": integers(-9, 9, 4, 5), "b": integers(1, 9, 5)}, grad=False),
    Case("int64 meets float", {"a": integers(-9, 9, 4, 5), "b": uniform(1, 2, 5)}, grad=False),
]


def arithmetic(name):
    low, high = (0.3, 2.5) if name == "pow" else (-2.0, 2.0)
    b_low, b_high = (0.5, 2.0) if name in ("div", "pow") else (-2.0, 2.0)
    common = [  # sums and products in all sizes, the rarer operations in two
        Case(size, {"a": shape, "b": shape})
        for size, shape in (("4 x 4", (4, 4)), ("64 x 100", (64, 100)), ("64 MB", (1 << 24,)))
        if name in ("add", "mul")
    ]
    numpy = {"sub": "subtract", "mul": "multiply", "div": "divide", "pow": "power"}.get(name, name)
    return Spec(
        name,
        exact(ARITHMETIC[name]),
        [*cases(low, high, b_low, b_high), *ODD, *INTEGERS],
        kernels=["binary"],
        grad=["a", "b"],
        op=(lambda a, b: a / b) if name == "div" else None,
        bench=[
            *common,
            Case("1 million", {"a": uniform(low, high, 1 << 20), "b": uniform(1, 2, 1 << 20)}),
            Case("a row repeats", {"a": uniform(low, high, 1024, 1000), "b": uniform(1, 2, 1000)}),
        ],
        bytes=lambda a, b: 2 * a.nbytes + b.nbytes,
        numpy=numpy,
        torch=name,
        jax=f"numpy.{numpy}",
    )


def comparison(name):
    return Spec(
        name,
        exact(COMPARISONS[name]),
        [*cases(-2, 2, -2, 2), *ODD, *INTEGERS],
        kernels=["compare"],
    )


SPECS = [arithmetic(name) for name in ARITHMETIC] + [comparison(name) for name in COMPARISONS]
