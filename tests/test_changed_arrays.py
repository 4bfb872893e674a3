"""An array that backward needs and that was changed in between: an error by every route, and never a wrong number.

Each route is a function of nothing that runs a forward pass, changes an array, and returns the loss and the leaves.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import PROBLEMS

import tinygrad_mb as tg
from tinygrad_mb import guards
from tinygrad_mb.errors import ChangedArrayError
from tinygrad_mb.numpy_api import NOT_DIFFERENTIABLE

LARGE = (guards._EXACT_BYTES // 8) * 2 + 333  # past the size up to which fingerprints are copies, and no round number


def parameter(data, name=None):
    return tg.Tensor(data, requires_grad=True, name=name)


def leaf_data():
    x = parameter([1.0, 2.0])
    loss = (x * x).sum()
    x.data[0] = 100
    return loss, x


def callers_array():
    array = np.array([1.0, 2.0])
    x = parameter(array)
    loss = np.exp(x * x).sum()
    array[0] = 100
    return loss, x


def raw_operand():
    array, x = np.array([1.0, 2.0]), parameter([3.0, 4.0])
    loss = (x * array).sum()
    array += 1
    return loss, x


def raw_operand_on_the_left():
    array, x = np.ones((2, 2)), parameter([3.0, 4.0])
    loss = (array @ x).sum()
    array[0, 0] = 5
    return loss, x


def constant_tensor():
    array, x = np.array([1.0, 2.0]), parameter([3.0, 4.0])
    loss = (x * tg.Tensor(array)).sum()
    array[1] = 7
    return loss, x


def raw_scalar_array():
    array, x = np.array(2.0), parameter([3.0, 4.0])
    loss = (x * array).sum()
    array[()] = 7
    return loss, x


def view_taken_before():
    x = parameter([1.0, 2.0])
    view = x.data[::-1]
    loss = (x * x).sum()
    view[0] = 100
    return loss, x


def view_taken_after():
    x = parameter([1.0, 2.0])
    loss = (x * x).sum()
    x.data.reshape(2, 1)[0] = 100
    return loss, x


def base_of_a_slice():
    base = np.arange(6.0)
    x = parameter(base[1:4])
    loss = (x * x).sum()
    base[2] = 100
    return loss, x


def view_of_a_leaf_in_the_graph():
    x = parameter(np.arange(6.0))
    part = x[1:4].reshape(3, 1).T
    loss = (part * part).sum()
    x.data[2] = 100
    return loss, x


def overlapping_window():
    base = np.arange(6.0)
    x = parameter(np.lib.stride_tricks.sliding_window_view(base, 3))
    loss = (x * x).sum()
    base[2] = 100
    return loss, x


def np_asarray_of_a_detached_leaf():
    x = parameter([1.0, 2.0])
    loss = (x * x).sum()
    np.asarray(x.detach())[0] = 100
    return loss, x


def view_made_without_recording():
    array = np.array([1.0, 2.0])
    c, x = tg.Tensor(array), parameter([3.0, 4.0])
    with tg.no_grad():
        view = c[:1]
    loss = (x * c).sum()
    view.data[0] = 100
    return loss, x


def memory_shared_through_a_memoryview():
    buffer = bytearray(16)
    x = parameter(np.frombuffer(buffer))
    loss = ((x + 0) * x).sum()
    memoryview(buffer)[15] = 64
    return loss, x


def optimizer_step_between():
    w, x = parameter([1.0, 2.0], "w"), parameter([3.0, 4.0])
    loss = (w * x).sum()
    (w * 2.0).sum().backward()
    w.data -= 0.1 * w.grad
    return loss, x


def condition():
    mask, x = np.array([True, False]), parameter([1.0, 2.0])
    loss = np.where(mask, x, 0).sum()
    mask[:] = ~mask
    return loss, x


def bound_of_a_clip():
    bound, x = np.array([1.5, 1.5]), parameter([1.0, 2.0])
    loss = np.minimum(x, bound).sum()
    bound[0] = 0
    return loss, x


def exponent_array():
    power, x = np.array([2, 3]), parameter([1.0, 2.0])
    loss = (x**power).sum()
    power[0] = 5
    return loss, x


def one_of_several_joined():
    a, b = np.ones((2, 3)), parameter(np.ones((3, 2)))
    loss = np.einsum("ij,jk->", a, b)
    a[0] = 4
    return loss, b


def in_place_sort():
    x = parameter([3.0, 1.0, 2.0])
    loss = (x * x).sum()
    x.data.sort()
    return loss, x


@tg.primitive
def identity(x):
    return x


@tg.primitive
def through_a_buffer(x):
    return np.multiply(x, x, out=BUFFER)


@tg.primitive
def half_square_of_the_first(x):
    return x[:1]


BUFFER = np.zeros(2)
tg.defvjp(identity, x=lambda g: g)
tg.defvjp(through_a_buffer, x=lambda g, x: 2 * g * x)
tg.defvjp(half_square_of_the_first, x=lambda g, out: np.concatenate([g * out, g * out]))


def own_primitive_that_returns_its_operand():
    x = parameter([1.0, 2.0])
    y = identity(x)
    loss = (y * y).sum()
    x.data[0] = 100
    return loss, x


def own_primitive_that_reuses_a_buffer():
    x = parameter([1.0, 2.0])
    y = through_a_buffer(x)
    loss = (y * y).sum()
    through_a_buffer(parameter([3.0, 3.0]))
    return loss, x


def own_primitive_whose_saved_result_is_a_view():
    x = parameter([1.0, 2.0])
    loss = half_square_of_the_first(x).sum()
    x.data[0] = 100
    return loss, x


ROUTES = [
    leaf_data, callers_array, raw_operand, raw_operand_on_the_left, constant_tensor, raw_scalar_array,
    view_taken_before, view_taken_after, base_of_a_slice, view_of_a_leaf_in_the_graph, overlapping_window,
    np_asarray_of_a_detached_leaf, view_made_without_recording, optimizer_step_between, condition, bound_of_a_clip,
    exponent_array, one_of_several_joined, in_place_sort, memory_shared_through_a_memoryview,
    own_primitive_that_returns_its_operand, own_primitive_that_reuses_a_buffer,
    own_primitive_whose_saved_result_is_a_view,
]  # fmt: skip


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__)
def test_every_route_is_an_error(route):
    loss, x = route()
    for call in (loss.backward, lambda: loss.gradient(x), lambda: loss.gradient(x, create_graph=True)):
        with pytest.raises(ChangedArrayError, match="was changed after the operation had used it"):
            call()
    assert x.grad is None  # nothing was accumulated before the error


def test_the_message_names_operation_operand_and_remedy():
    w, x = parameter([1.0, 2.0], "w"), parameter([3.0, 4.0])
    with tg.scope("first layer"):
        loss = (w * x).named("h").sum()
    w.data[0] = 5
    with pytest.raises(ChangedArrayError) as caught:
        loss.backward()
    for part in ("multiply", "w (2,) float64", "'h' (2,) float64", "scope first layer", "w.copy()", "after backward()"):
        assert part in str(caught.value)


def test_a_restored_array_is_right_and_an_error_leaves_the_graph_whole():
    x = parameter([1.0, 2.0])
    loss = (x * x).sum()
    x.data[0] = 5
    with pytest.raises(ChangedArrayError):
        loss.backward()
    x.data[0] = 1
    loss.backward()
    np.testing.assert_array_equal(x.grad, [2, 4])


# ------------------------------------------------------------------------------------------- large arrays


def halves(a):
    n = a.size // 2
    a[:n], a[n : 2 * n] = a[n : 2 * n].copy(), a[:n].copy()


ROW = guards._ROW * 8  # elements from one row of a fingerprint's table to a later one, for every dtype

CHANGES = {
    "one ulp": lambda a, rng: a.__setitem__(777, np.nextafter(a[777], a.dtype.type(9))),
    "one ulp of the last": lambda a, rng: a.__setitem__(-1, np.nextafter(a[-1], a.dtype.type(9))),
    "two neighbours": lambda a, rng: a.__setitem__([500, 501], a[[501, 500]]),
    "two far apart": lambda a, rng: a.__setitem__([3, -40_000], a[[-40_000, 3]]),
    "one place of the table's rows": lambda a, rng: a.__setitem__([2, ROW + 2], a[[ROW + 2, 2]]),
    "the last two": lambda a, rng: a.__setitem__([-2, -1], a[[-1, -2]]),
    "shuffle": lambda a, rng: rng.shuffle(a),
    "sort": lambda a, rng: a.sort(),
    "reversal": lambda a, rng: a.__setitem__(slice(None), a[::-1].copy()),
    "roll": lambda a, rng: a.__setitem__(slice(None), np.roll(a, 1024)),
    "halves": lambda a, rng: halves(a),
    "sign of one": lambda a, rng: a.__setitem__(9, -a[9]),
    "sum kept": lambda a, rng: a.__setitem__([10, 11], [a[10] + 1, a[11] - 1]),
    "one infinite": lambda a, rng: a.__setitem__(12, np.inf),
}
CONTENTS = {
    "normal": lambda rng: rng.normal(size=LARGE),
    "positive and huge beside tiny": lambda rng: np.where(
        np.arange(LARGE) % 7 == 0, 1e30, rng.normal(size=LARGE) * 1e-6
    ),
    "with infinities and NaN": lambda rng: np.where(
        rng.random(LARGE) < 0.1, rng.choice([np.inf, -np.inf, np.nan], LARGE), rng.normal(size=LARGE)
    ),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("change", CHANGES)
def test_large_arrays(dtype, content, change):
    rng = np.random.default_rng(5)
    with np.errstate(all="ignore"):
        array = CONTENTS[content](rng).astype(dtype)
        x = parameter(array)
        y = x * x
        loss = y.sum()
        before = array.copy()
        expected = loss.gradient(x)  # no false alarm
        CHANGES[change](array, rng)
        assert array.tobytes() != before.tobytes()
        with pytest.raises(ChangedArrayError):
            loss.gradient(x)
        array[...] = before
        np.testing.assert_array_equal(loss.gradient(x), expected)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_]),
    kind=st.sampled_from(["signs", "one-hot", "constant", "ramp", "random"]),
    order=st.sampled_from(["C", "F", "strided", "transposed"]),
)
def test_any_two_elements_exchanged_in_a_large_array(seed, dtype, kind, order):
    rng = np.random.default_rng(seed)
    n, k = 2 * guards._EXACT_BYTES // np.dtype(dtype).itemsize // 8, 8
    values = {
        "signs": lambda: rng.choice([-1, 1], (n, k)),
        "one-hot": lambda: np.eye(k)[rng.integers(0, k, n)],
        "constant": lambda: np.ones((n, k)),
        "ramp": lambda: np.arange(n * k).reshape(n, k) % 251,
        "random": lambda: rng.normal(size=(n, k)) * 50,
    }[kind]()
    array = values.astype(dtype)
    if order == "strided":
        array = np.repeat(np.repeat(array, 2, 0), 2, 1)[::2, ::2]
    elif order != "C":
        array = np.asfortranarray(array) if order == "F" else np.ascontiguousarray(array.T).T
    before = guards.fingerprint(array)
    assert guards.fingerprint(array) == before
    i, j = (tuple(p) for p in zip(rng.integers(0, n, 2), rng.integers(0, k, 2), strict=True))
    array[i], array[j] = array[j], array[i]
    assert (guards.fingerprint(array) == before) == (array[i] == array[j])
    array[i], array[j] = array[j], array[i]
    rolled = np.roll(array, 4096, axis=0)
    assert (guards.fingerprint(rolled) == before) == np.array_equal(rolled, array)


# ----------------------------------------------------------------------------- a copy was taken: right numbers


def test_indices_are_copied():
    index, x = np.array([0, 0]), parameter([1.0, 2.0])
    picked = x[index].sum()
    added = x.at[index].add([1.0, 1.0]).sum()
    put = (x.at[index].set([5.0, 6.0]) * [1.0, 10.0]).sum()
    taken, along = np.take(x, index).sum(), np.take_along_axis(x, index, 0).sum()
    nested = [[0, 0]]
    listed = x[tuple(nested)].sum()
    nested[0][0] = 1
    index[:] = 1
    for loss in (picked, taken, along, listed):
        np.testing.assert_array_equal(loss.gradient(x), [2, 0])
    np.testing.assert_array_equal(added.gradient(x), [1, 1])
    np.testing.assert_array_equal(put.gradient(x), [0, 10])


def test_a_boolean_mask_is_copied():
    mask, x = np.array([True, False]), parameter([1.0, 2.0])
    loss = x[mask].sum()
    mask[:] = ~mask
    np.testing.assert_array_equal(loss.gradient(x), [1, 0])


def test_options_are_copied():
    x = parameter(np.arange(8.0).reshape(2, 2, 2))
    weights = np.arange(8.0).reshape(2, 2, 2)
    axes, shift = [1, 2, 0], np.array([1, 1])
    losses = (x.transpose(axes) * weights).sum(), (np.roll(x, shift, axis=(0, 1)) * weights).sum()
    before = [loss.gradient(x) for loss in losses]
    axes.reverse()
    shift[0] = 0
    for loss, expected in zip(losses, before, strict=True):
        np.testing.assert_array_equal(loss.gradient(x), expected)


def test_options_of_own_primitives_are_copied():
    @tg.primitive
    def masked(x, mask=None):
        return x * mask

    tg.defvjp(masked, x=lambda g, mask: g * mask)
    x, mask = parameter([1.0, 2.0]), np.array([1.0, 0.0])
    loss = masked(x, mask=mask).sum()
    mask[:] = 5
    np.testing.assert_array_equal(loss.gradient(x), [1, 0])


def test_scalars_are_copied():
    s, x = parameter(3.0), parameter([1.0, 2.0])
    loss = (x * s).sum()
    s.data[...] = 100
    np.testing.assert_array_equal(loss.gradient(x), [3, 3])
    sine, joined = np.sin(s), (np.stack([s, s]) * np.stack([s, s])).sum()
    (s * s).backward()
    np.testing.assert_array_equal(s.grad, 200)
    s.data[...] = 0
    np.testing.assert_array_equal(sine.gradient(s), np.cos(100.0))
    np.testing.assert_array_equal(joined.gradient(s), 400)


def test_results_cannot_be_changed():
    x = parameter([1.0, 2.0])
    h = np.exp(x)
    with tg.no_grad():
        views = [h[:1], h.reshape(2, 1), h.T, h[...], np.flip(h), np.broadcast_to(h, (2, 2)), h.swapaxes(0, 0)]
    arrays = [h.data, h.detach().data, np.asarray(h.detach()), *[view.data for view in views]]
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    np.testing.assert_array_equal(h.sum().gradient(x), np.exp(x.data))


def test_functions_that_only_look_do_not_hand_out_the_result():
    x = parameter([1.0, 2.0])
    h = np.exp(x)
    h.numpy()[0] = 0
    h.tolist()[0] = 0
    for fn in (np.sign, np.floor, np.round, np.argsort, np.isfinite, np.nonzero):
        result = fn(h)
        for array in result if isinstance(result, tuple) else [result]:
            assert not np.shares_memory(array.data if isinstance(array, tg.Tensor) else array, h.data)
    np.testing.assert_array_equal(h.sum().gradient(x), np.exp(x.data))


# ------------------------------------------------------------------- every primitive and composite, by every input


def spoil(array):
    """Change most elements of an array in place, and keep them in the domains of the functions."""
    if array.dtype.kind == "f":
        array[...] = array * 0.9 + 0.05
    elif array.dtype.kind == "b":
        array[...] = ~array
    elif array.ndim:
        array[...] = array[::-1].copy()


def forward(problem):
    """The result for copies of the problem's inputs, these copies, and the tensors to differentiate by."""
    arrays = [np.array(a) if isinstance(a, (np.ndarray, np.generic, float)) else a for a in problem.inputs]
    inputs = [parameter(a) if k in problem.wrt else a for k, a in enumerate(arrays)]
    return problem.run(*inputs), arrays, [inputs[k] for k in problem.wrt]


def same(gradients, others):
    gradients, others = ((g,) if isinstance(g, np.ndarray) else g for g in (gradients, others))
    return all(np.array_equal(g, o, equal_nan=True) for g, o in zip(gradients, others, strict=True))


def linear(out, wrt):
    return (out * 2).sum()


def square(out, wrt):
    return (out * out).sum()


def slopes(out, wrt):
    """A number whose gradient is made of second derivatives."""
    first = square(out, wrt).gradient(*wrt, create_graph=True)
    return sum((g * g).sum() for g in (first if isinstance(first, tuple) else (first,)))


@pytest.mark.parametrize("loss_of", [linear, square, slopes])
def test_no_function_gives_a_wrong_gradient_after_a_change(loss_of):
    raised = 0
    for problem in PROBLEMS:
        for position in range(len(problem.inputs)):
            out, arrays, wrt = forward(problem)
            array = arrays[position]
            if not isinstance(array, np.ndarray) or not out.requires_grad:
                continue
            loss = loss_of(out, wrt)
            if not loss.requires_grad:  # all slopes are constant
                continue
            before = loss.gradient(*wrt)
            spoil(array)
            try:
                after = loss.gradient(*wrt)
            except ChangedArrayError:
                raised += 1
            else:
                assert same(before, after), f"{problem} is wrong after a change of input {position}"
    assert raised > 400


def test_no_result_is_a_way_to_change_its_operand():
    for problem in PROBLEMS:
        hidden = [parameter(a) * 1 if k in problem.wrt else a for k, a in enumerate(problem.inputs)]
        before = [hidden[k].numpy() for k in problem.wrt]
        with tg.no_grad():
            out = problem.run(*hidden)
        if out.data.flags.writeable:
            out.data[...] = 7
        for k, values in zip(problem.wrt, before, strict=True):
            assert np.array_equal(hidden[k].numpy(), values, equal_nan=True), f"{problem} gives out its operand {k}"


@pytest.mark.filterwarnings("ignore:.in1d. is deprecated:DeprecationWarning")  # until NumPy 2.4, which has none
@pytest.mark.filterwarnings("ignore:numpy.fix is deprecated:DeprecationWarning")  # since NumPy 2.5
def test_functions_without_derivative_hand_nothing_out_and_write_nothing():
    for function in NOT_DIFFERENTIABLE:
        for arguments in (lambda h: (h,), lambda h: (h, h), lambda h: (h[0],), lambda h: (h, 1)):
            h = parameter([[1.0, 2.0], [3.0, 4.0]]) * 1.5
            before = h.numpy()
            try:
                out = function(*arguments(h))
            except (TypeError, ValueError, IndexError, AttributeError):  # not its arguments
                continue
            for part in out if isinstance(out, (tuple, list)) else (out,):
                array = part.data if isinstance(part, tg.Tensor) else part
                if isinstance(array, np.ndarray) and array.size and array.flags.writeable:
                    array[...] = np.zeros((), array.dtype)
            np.testing.assert_array_equal(h.numpy(), before, err_msg=str(function))


# -------------------------------------------------------------------------------------------- no false alarms


def test_not_numbers_and_infinities():
    x = parameter([np.nan, np.inf, -np.inf, -0.0, 1.0])
    loss = (x * x).sum()
    np.testing.assert_array_equal(loss.gradient(x), 2 * x.data)
    loss.backward(retain_graph=True)
    loss.backward()


@pytest.mark.parametrize("view", [lambda a: a[::2, ::-1], lambda a: a.T, lambda a: np.broadcast_to(a[:1], a.shape)])
def test_large_arrays_that_are_not_contiguous(view):
    base = np.random.default_rng(0).normal(size=(700, 300))
    x = parameter(view(base))
    loss = (x * x).sum()
    for _ in range(2):
        np.testing.assert_array_equal(loss.gradient(x), 2 * x.data)


def test_a_change_after_backward_is_welcome():
    w = parameter([1.0, 2.0])
    for _ in range(3):
        loss = (w * w).sum()
        loss.backward()
        w.data -= 0.1 * w.grad
        w.grad = None
    np.testing.assert_allclose(w.data, np.array([1.0, 2.0]) * 0.8**3)


def test_a_change_of_what_no_rule_needs():
    a, b = parameter([1.0, 2.0]), parameter([3.0, 4.0])
    loss = (a + b).sum() + np.exp(a).sum()
    expected = loss.gradient(a)
    a.data[...] = 7
    b.data[...] = 7
    np.testing.assert_array_equal(loss.gradient(a), expected)
    np.testing.assert_array_equal(loss.gradient(b), [1, 1])


def test_a_change_of_what_this_gradient_does_not_need():
    x, w = parameter([1.0, 2.0]), parameter([3.0, 4.0])
    h = x * x
    loss = (h * w).sum()
    x.data[0] = 9
    np.testing.assert_array_equal(loss.gradient(w), [1, 4])
    np.testing.assert_array_equal(loss.gradient(h), [3, 4])
    with pytest.raises(ChangedArrayError):
        loss.gradient(x)


def test_new_data_in_the_place_of_the_old():
    x = parameter([1.0, 2.0])
    loss = (x * x).sum()
    x.data = np.array([5.0, 6.0])
    np.testing.assert_array_equal(loss.gradient(x), [2, 4])
