"""One step of each optimizer, in place. The formulas are those of the papers, see args.h."""

import numpy as np

from fastnn import _C
from fastnn.testing import Case, Spec, uniform


def gradient(p, g, weight_decay, maximize):
    return (-g if maximize else g) + weight_decay * p


def sgd(p, g, buf, lr, momentum, dampening, weight_decay, nesterov, maximize):
    g = gradient(p, g, weight_decay, maximize)
    if buf is None:
        return [p - lr * g]
    buf = momentum * buf + (1 - dampening) * g
    return [p - lr * (g + momentum * buf if nesterov else buf), buf]


def adam(p, g, m, v, top, step, lr, beta1, beta2, eps, weight_decay, decoupled, amsgrad, maximize):
    g = gradient(p, g, 0 if decoupled else weight_decay, maximize)
    if decoupled:
        p = p - lr * weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    largest = np.maximum(top, v) if amsgrad else v
    m_hat, v_hat = m / (1 - beta1**step), largest / (1 - beta2**step)
    p = p - lr * m_hat / (np.sqrt(v_hat) + eps)
    return [p, m, v, largest] if amsgrad else [p, m, v]


def rmsprop(p, g, s, buf, mean, lr, alpha, eps, weight_decay, momentum, centered, maximize):
    g = gradient(p, g, weight_decay, maximize)
    s = alpha * s + (1 - alpha) * g**2
    spread = s
    if centered:
        mean = alpha * mean + (1 - alpha) * g
        spread = s - mean**2
    move = g / (np.sqrt(spread) + eps)
    if momentum:
        buf = move = momentum * buf + move
    return [x for x in (p - lr * move, s, buf, mean) if x is not None]


def adagrad(p, g, s, lr, eps, weight_decay, maximize):
    g = gradient(p, g, weight_decay, maximize)
    s = s + g**2
    return [p - lr * g / (np.sqrt(s) + eps), s]


def adadelta(p, g, s, delta, lr, rho, eps, weight_decay, maximize):
    g = gradient(p, g, weight_decay, maximize)
    s = rho * s + (1 - rho) * g**2
    d = g * np.sqrt(delta + eps) / np.sqrt(s + eps)
    return [p - lr * d, s, rho * delta + (1 - rho) * d**2]


def spec(name, formula, state, defaults, *changes, **options):
    """`state` makes the state tensors; `changes` are options, with the states these use."""

    def reference(*tensors, **attrs):
        y = formula(*tensors, **attrs)
        return y, [abs(x) + abs(tensors[0]) + 0.1 for x in y]

    def step(p, g, *states, **attrs):
        # The kernel takes lists: here of two pieces, the second off any alignment.
        def pieces(t):
            return [] if t is None else [t[: len(p) // 3], t[len(p) // 3 :]]

        hyper = _C.Hyper()
        hyper.step = attrs.pop("step", 1) - 1  # the kernel counts
        for option, value in attrs.items():
            if option not in ("amsgrad", "centered"):  # said by the states that are there
                setattr(hyper, option, value)
        getattr(_C, f"{name}_step")(pieces(p), pieces(g), *map(pieces, states), hyper)
        return [p, *[s for s in states if s is not None]]

    def case(label, n, change, used):
        states = {f"state {i}": state if i in used else None for i in range(slots)}
        inputs = {"p": (n,), "g": (n,), **{k: f and f(n) for k, f in states.items()}}
        return Case(label, inputs, {**defaults, **change}, grad=False)

    slots = options.pop("slots")
    first_change, first_used = changes[0]
    sizes = [case(f"{n} elements", n, first_change, first_used) for n in (1, 16, 129, 4099, 40009)]
    others = [
        case(", ".join(f"{k} {v}" for k, v in change.items()) or "plain", 67, change, used)
        for change, used in changes
    ]
    return Spec(
        f"{name}_step",
        reference,
        others + sizes,
        kernels=[name],
        op=step,
        in_place=True,
        layouts=False,  # parameters are dense, and so is their state
        k=8,
    )


def positive(n):
    return uniform(1, 2, n)


SGD = {
    "lr": 0.1,
    "momentum": 0.0,
    "dampening": 0.0,
    "weight_decay": 0.0,
    "nesterov": False,
    "maximize": False,
}
ADAM = {
    "step": 3,
    "lr": 0.01,
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "decoupled": False,
    "amsgrad": False,
    "maximize": False,
}
RMSPROP = {
    "lr": 0.01,
    "alpha": 0.9,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "momentum": 0.0,
    "centered": False,
    "maximize": False,
}
ADAGRAD = {"lr": 0.01, "eps": 1e-10, "weight_decay": 0.0, "maximize": False}
ADADELTA = {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0, "maximize": False}

SPECS = [
    spec(
        "sgd",
        sgd,
        positive,
        SGD,
        ({"momentum": 0.9}, [0]),
        ({}, []),
        ({"weight_decay": 0.1}, []),
        ({"maximize": True}, []),
        ({"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}, [0]),
        ({"momentum": 0.9, "nesterov": True}, [0]),
        slots=1,
    ),
    spec(
        "adam",
        adam,
        positive,
        ADAM,
        ({}, [0, 1]),
        ({"step": 1}, [0, 1]),
        ({"weight_decay": 0.1}, [0, 1]),
        ({"weight_decay": 0.1, "decoupled": True}, [0, 1]),
        ({"amsgrad": True}, [0, 1, 2]),
        ({"maximize": True, "weight_decay": 0.1}, [0, 1]),
        slots=3,
    ),
    spec(
        "rmsprop",
        rmsprop,
        positive,
        RMSPROP,
        ({}, [0]),
        ({"momentum": 0.9}, [0, 1]),
        ({"weight_decay": 0.1, "maximize": True}, [0]),
        slots=3,
    ),
    spec(
        "adagrad",
        adagrad,
        positive,
        ADAGRAD,
        ({}, [0]),
        ({"weight_decay": 0.1, "maximize": True}, [0]),
        slots=1,
    ),
    spec(
        "adadelta",
        adadelta,
        positive,
        ADADELTA,
        ({}, [0, 1]),
        ({"weight_decay": 0.1, "maximize": True}, [0, 1]),
        slots=2,
    ),
]
