"""Trains two networks on the CPU and on the GPU, from the same start and on the same data, and says
how far apart their losses are.

python -m bench.agreement
"""

from __future__ import annotations

import itertools

import numpy as np

import fastnn as fn
from bench.networks import RATE, Net, layers
from fastnn import nn, optim

STEPS, NETS = 50, (Net(128, 64), Net(100, 16, convolutional=True))
# Of float32: sums in another order, after STEPS steps that each pass the difference on.
ALLOWED = 1e-3


def losses(net: Net, device: str) -> np.ndarray:
    """Of STEPS steps of gradient descent, recorded."""
    fn.manual_seed(0)
    model = layers(nn, net).to(device)
    loss_fn, opt = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=RATE, momentum=0.9)

    @fn.compile
    def step(x: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        loss = loss_fn(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    x, y = (fn.tensor(a).to(device) for a in net.examples(8 * net.batch))
    cuts = itertools.cycle(range(0, len(x), net.batch))
    return np.array(
        [
            step(x[at : at + net.batch], y[at : at + net.batch]).item()
            for at in itertools.islice(cuts, STEPS)
        ]
    )


def main() -> None:
    worst = 0.0
    for net in NETS:
        cpu, gpu = losses(net, "cpu"), losses(net, "cuda")
        apart = float(np.max(np.abs(cpu - gpu) / np.abs(cpu)))
        print(f"{net.name}: after {STEPS} steps {cpu[-1]:.6f} and {gpu[-1]:.6f}; {apart:.1e} apart")
        worst = max(worst, apart)
    if not worst < ALLOWED:
        raise SystemExit(f"the two do not agree: {worst:.1e} apart, {ALLOWED:g} allowed")
    print(f"agree within {worst:.1e}")


if __name__ == "__main__":
    main()
