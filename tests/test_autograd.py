"""The tape: what backward gives, keeps and frees; then gradcheck."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from devices import place
from samples import leaf, normal

import fastnn as fn

# --- the tape -----------------------------------------------------------------------------------


def test_gradients_accumulate() -> None:
    x = leaf([1.0, 2.0, 3.0])
    for n in (1, 2, 3):
        y = x.pow(2).sum()
        y.backward()
        np.testing.assert_array_equal(x.grad.cpu().numpy(), n * 2 * x.detach().cpu().numpy())
    x.grad = None
    x.pow(2).sum().backward()
    assert x.grad.tolist() == [2, 4, 6]


def test_two_backwards_of_a_rebuilt_square_add_up() -> None:
    x = fn.tensor(3.0, requires_grad=True)
    y = x.pow(2)
    y.backward()
    y = x.pow(2)
    y.backward()
    assert x.grad.item() == 12


def test_retained_graph_runs_twice_and_a_used_one_does_not() -> None:
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 8]
    with pytest.raises(RuntimeError, match="retain_graph"):
        y.backward()
    assert x.grad.tolist() == [4, 8]


def test_non_scalar_backward_needs_a_gradient_of_its_shape() -> None:
    x = leaf([1.0, 2.0])
    y = x * 3
    with pytest.raises(RuntimeError, match=r"gradient must be given.*\(2,\)"):
        y.backward()
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        y.backward(fn.ones(3, dtype=fn.float64))
    with pytest.raises(TypeError, match=r"float64.*float32"):
        y.backward(fn.ones(2))
    seed = fn.tensor([1.0, -1.0], dtype=fn.float64)
    y.backward(seed)
    assert x.grad.tolist() == [3, -3]
    assert seed.tolist() == [1, -1]


def test_the_given_gradient_is_not_adopted() -> None:
    x, seed = leaf([1.0, 2.0]), fn.ones(2, dtype=fn.float64)
    for _ in range(2):
        x.reshape(2).backward(seed)
    assert seed.tolist() == [1, 1]
    assert x.grad.tolist() == [2, 2]
    a, b = leaf([1.0]), leaf([2.0])
    (a + b).sum().backward()
    a.grad.fill_(7)
    assert b.grad.tolist() == [1]  # two leaves never share a gradient


def test_a_leaf_used_twice_and_diamonds() -> None:
    x = leaf([2.0, 3.0])
    (x * x + x).sum().backward()
    assert x.grad.tolist() == [5, 7]
    x.grad = None
    a = x * 2
    b, c = a.exp(), a * a
    (b * c + a).sum().backward()
    v = x.detach().cpu().numpy()
    expected = 2 * (np.exp(2 * v) * (2 * v) ** 2 + np.exp(2 * v) * 4 * v + 1)
    np.testing.assert_allclose(x.grad.cpu().numpy(), expected, rtol=1e-14)


def test_a_ladder_of_diamonds_takes_linear_time() -> None:
    x = leaf([1.0])
    y = x
    for _ in range(60):  # 2**60 paths
        y = y * 0.5 + y * 0.5
    y.sum().backward()
    assert x.grad.tolist() == [1]


def test_gradients_through_views_and_indices() -> None:
    i = fn.tensor([0, 2, 2, -1])
    x = leaf(normal(3, 4))
    assert fn.gradcheck(lambda t: t.T[1:, ::2].reshape(-1) ** 2, x)
    assert fn.gradcheck(lambda t: t[i] * t[1], x)
    assert fn.gradcheck(lambda t: t.unsqueeze(0).expand(2, 3, 4).permute(2, 0, 1).flatten(1), x)
    assert fn.gradcheck(lambda a, b: a * b / (b * b + 1), [x, leaf(normal(2, 1, 4, seed=1))])


def test_values_that_backward_needs_must_not_change() -> None:
    for change in (
        lambda t: t.add_(1),
        lambda t: t.fill_(0),
        lambda t: t.__setitem__(0, 9.0),
        lambda t: t.detach()[1:].mul_(2),
        lambda t: t.copy_(fn.zeros(3, dtype=fn.float64)),
        lambda t: t.uniform_(),
    ):
        x, c = leaf([1.0, 2.0, 3.0]), fn.tensor([1.0, 2.0, 3.0], dtype=fn.float64)
        y = (x * c).sum()
        change(c)
        with pytest.raises(RuntimeError, match=r"\[mul\].*changed in place"):
            y.backward()
        assert x.grad is None
    x, c = leaf([1.0]), fn.ones(1, dtype=fn.float64)
    y = (x + c).sum()  # a sum reads neither of its terms
    c += 1
    y.backward()
    assert x.grad.tolist() == [1]


def test_in_place_on_what_requires_a_gradient_needs_no_grad() -> None:
    x = leaf([1.0, 2.0])
    for change in (lambda: x.__iadd__(1), lambda: x.__setitem__(0, 0.0), lambda: x.zero_()):
        with pytest.raises(RuntimeError, match=r"no_grad"):
            change()
    assert x.tolist() == [1, 2]
    with pytest.raises(RuntimeError, match=r"no_grad"):
        fn.zeros(2, dtype=fn.float64).add_(x)
    with fn.no_grad():
        x -= 1
    assert x.tolist() == [0, 1]
    assert x.requires_grad
    assert x.is_leaf


def test_no_grad_and_enable_grad_as_context_and_decorator() -> None:
    x = leaf([1.0])

    @fn.no_grad()
    def quiet(t: fn.Tensor) -> fn.Tensor:
        """Doubles."""
        return t * 2

    assert quiet.__doc__ == "Doubles."
    with fn.no_grad():
        assert not fn.is_grad_enabled()
        assert not (x * 2).requires_grad
        with fn.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert not quiet(x).requires_grad
    assert (x * 2).requires_grad
    with pytest.raises(KeyError), fn.no_grad():
        raise KeyError
    assert fn.is_grad_enabled()
    guard = fn.no_grad()
    with guard, guard:
        pass
    assert fn.is_grad_enabled()


def test_no_grad_holds_for_its_own_thread_only() -> None:
    seen = []
    with fn.no_grad():
        other = threading.Thread(target=lambda: seen.append(fn.is_grad_enabled()))
        other.start()
        other.join()
    assert seen == [True]


def test_detach_and_requires_grad() -> None:
    x = leaf([2.0])
    y = x * 3
    d = y.detach()
    assert not d.requires_grad
    assert d.is_leaf
    assert not y.is_leaf
    (d * x).sum().backward()
    assert x.grad.tolist() == [6]
    with pytest.raises(RuntimeError, match="leaf"):
        y.requires_grad = False
    x.requires_grad_(False)
    assert not (x * 2).requires_grad
    assert fn.ones(1).requires_grad_().requires_grad
    with pytest.raises(RuntimeError, match=r"\[backward\].*require"):
        d.backward()


def test_casts_carry_gradients() -> None:
    x = fn.tensor([1.0, 2.0], requires_grad=True)
    (x.double() * 3).sum().backward()
    assert x.grad.dtype is fn.float32
    assert x.grad.tolist() == [3, 3]
    assert not x.long().requires_grad


def test_grad_is_checked_and_replaceable() -> None:
    x = leaf([1.0, 2.0])
    x.grad = fn.ones(2, dtype=fn.float64)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [3, 3]
    with pytest.raises(ValueError, match=r"\[grad\].*\(2,\).*\(3,\)"):
        x.grad = fn.ones(3, dtype=fn.float64)
    with pytest.raises(TypeError, match=r"\[grad\].*float64.*float32"):
        x.grad = fn.ones(2)
    assert x.grad.tolist() == [3, 3]


@pytest.mark.cpu_only("the tape's own recursion")
def test_a_chain_of_100_000_operations() -> None:
    x = fn.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + x
    y.backward()
    assert x.grad.item() == 100_001
    del y  # frees used nodes
    y = x
    for _ in range(100_000):
        y = y * 1.0
    del y  # and unused ones: recursion would overflow the stack
    gc.collect()
    assert x.item() == 1


@pytest.mark.cpu_only("the memory of an array tells")
def test_the_tape_frees_what_it_saved() -> None:
    array = np.ones(10)
    kept = weakref.ref(array)
    x, c = leaf(np.ones(10)), place(array)
    y = (x * c).sum()
    del array, c
    gc.collect()
    assert kept() is not None
    y.backward()
    gc.collect()
    assert kept() is None  # y is alive, its backward has run


def test_a_leaf_that_is_gone_takes_no_gradient() -> None:
    x, z = leaf([1.0]), leaf([2.0])
    y = (x * 2 + z).sum()
    del x
    y.backward()
    assert z.grad.tolist() == [1]


def test_gradients_match_pytorch_on_a_mixed_expression() -> None:
    torch = pytest.importorskip("torch")
    a, b = normal(3, 4), normal(4, seed=1)

    def f(lib: Any, x: Any, w: Any) -> Any:
        h = lib.tanh(x @ w.reshape(4, 1)) * lib.exp(-x).mean(1, keepdim=True)
        return (h * h.detach() + (x**2).sum((0, 1)) / (w.abs().sum() + 1)).sum()

    ours, theirs = [leaf(a), leaf(b)], [torch.tensor(v, requires_grad=True) for v in (a, b)]
    for _ in range(2):
        f(fn, *ours).backward()
        f(torch, *theirs).backward()
    for o, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(
            o.grad.cpu().numpy(), t.grad.cpu().numpy(), rtol=1e-12, atol=1e-12
        )


# --- gradcheck ----------------------------------------------------------------------------------


def test_gradcheck_passes_right_gradients_and_leaves_inputs_alone() -> None:
    x, w = leaf(normal(3, 2)), leaf(normal(2, seed=1))
    x.grad = fn.ones(3, 2, dtype=fn.float64)
    before = x.detach().cpu().numpy().copy()
    assert fn.gradcheck(lambda a, b: (fn.sigmoid(a * b), a.exp()), [x, w])
    assert fn.gradcheck(fn.tanh, x)
    np.testing.assert_array_equal(x.detach().cpu().numpy(), before)
    assert (x.grad.cpu().numpy() == 1).all()
    assert w.grad is None
    constant = fn.ones(2, dtype=fn.float64)
    assert fn.gradcheck(lambda a, c: a * c, [x, constant])
    assert fn.gradcheck(lambda a: a[:2], x)  # a gradient of zeros is one too


WRONG: dict[str, Callable[[fn.Tensor], fn.Tensor]] = {
    "half": lambda x: x * x.detach(),
    "missing": lambda x: x.detach() ** 2 + 0 * x,
    "sign": lambda x: 2 * x.detach() - x,
    # Columns of the Jacobian sum to the right value: only a random cotangent tells.
    "right_in_the_sum": lambda x: x + (x - x.mean()).detach(),
    "small": lambda x: x + 0.01 * x.detach(),
    "nan": lambda x: x * math.nan,
    "nan_in_one": lambda x: x * fn.tensor([1.0, math.nan, 1.0], dtype=fn.float64),
    "infinite": lambda x: x / 0,
}


@pytest.mark.parametrize("name", WRONG)
def test_gradcheck_fails_wrong_gradients_and_nan(name: str) -> None:
    x = leaf([0.5, -1.5, 2.0])
    with np.errstate(invalid="ignore"):
        with pytest.raises(ValueError, match=r"\[gradcheck\] input 0 at"):
            fn.gradcheck(WRONG[name], x)
        assert fn.gradcheck(WRONG[name], x, raise_exception=False) is False
    assert x.tolist() == [0.5, -1.5, 2.0]


def test_gradcheck_puts_inputs_back_when_the_function_fails() -> None:
    def fails_off_the_point(x: fn.Tensor) -> fn.Tensor:
        if x.tolist() != [0.5, 2.0]:
            raise KeyError
        return x * x

    x = leaf([0.5, 2.0])
    with pytest.raises(KeyError):
        fn.gradcheck(fails_off_the_point, x)
    assert x.tolist() == [0.5, 2.0]


def test_gradcheck_refuses_what_it_cannot_check() -> None:
    with pytest.raises(TypeError, match="input 0 must be float64"):
        fn.gradcheck(fn.exp, fn.ones(2, requires_grad=True))
    with pytest.raises(ValueError, match="at least one input"):
        fn.gradcheck(fn.exp, fn.ones(2, dtype=fn.float64))
