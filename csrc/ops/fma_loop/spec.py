"""fma_loop: multiply-adds in registers, the measure of the machine's arithmetic peak."""

from fastnn.testing import Case, Spec


def fma_loop(x, rounds, factor, term):
    scale = abs(x)
    for _ in range(rounds):
        x = x * factor + term
        scale = scale * abs(factor) + abs(term)
    return x, (1 + rounds) * scale


def case(name, shape, rounds):
    return Case(name, {"input": shape}, {"rounds": rounds, "factor": 0.75, "term": 0.5})


SPECS = [
    Spec(
        "fma_loop",
        fma_loop,
        [
            case("plain", (7, 5), 3),
            case("no rounds", (17,), 0),
            case("several blocks and a tail", (3, 397), 9),
            case("nothing", (0,), 2),
        ],
        kernels=["fma_loop"],
    )
]
