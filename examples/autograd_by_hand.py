"""Backpropagation through a small network, by hand with NumPy and with fastnn: the same numbers.

Three inputs, three hidden and two output neurons, all sigmoid, no biases; cost (y - t)^2 / 2.
"""

import numpy as np

import fastnn as fn
from fastnn.nn import functional as F

x = np.array([[0.5, 0.9, -0.3]])
w1 = np.array([[1.0, -2.0, 2.0], [2.0, 1.0, -4.0], [1.0, -1.0, 0.0]])  # (hidden, inputs)
w2 = np.array([[-3.0, 1.0, -3.0], [0.0, 1.0, 2.0]])  # (outputs, hidden)
t = np.array([[0.9, 0.85]])


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# By hand: forward, then the chain rule backwards.
h = sigmoid(x @ w1.T)
y = sigmoid(h @ w2.T)
dz2 = (y - t) * y * (1 - y)
dw2 = dz2.T @ h
dz1 = (dz2 @ w2) * h * (1 - h)
dw1 = dz1.T @ x

# With fastnn: forward, then backward().
W1 = fn.tensor(w1, requires_grad=True)
W2 = fn.tensor(w2, requires_grad=True)
output = F.sigmoid(F.linear(F.sigmoid(F.linear(fn.from_numpy(x), W1)), W2))
loss = 0.5 * ((output - fn.from_numpy(t)) ** 2).sum()
loss.backward()

print("hidden  ", h.round(2), " outputs", y.round(2), f" cost {loss.item():.4f}")
print("dC/dW2 by hand\n", dw2.round(6), "\nby backward()\n", W2.grad.numpy().round(6))
assert np.allclose(dw1, W1.grad.numpy(), rtol=1e-12)
assert np.allclose(dw2, W2.grad.numpy(), rtol=1e-12)

# And a check against finite differences.
fn.gradcheck(lambda a: F.sigmoid(F.linear(fn.from_numpy(x), a)), [W1])
print("gradients agree")
