"""What a tensor is and does besides gradients: data, names, plain numbers, operators, indexing, dtypes, copies."""

import copy
import operator
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_mb as tg
from tinygrad_mb.errors import NotDifferentiableError, ShapeError


def parameter(data, name=None, dtype=None):
    return tg.Tensor(data, requires_grad=True, name=name, dtype=dtype)


# ------------------------------------------------------------------------------------ making and reading


def test_an_array_is_shared_and_a_list_is_converted():
    array = np.arange(3.0)
    assert tg.Tensor(array).data is array
    assert tg.Tensor([1, 2]).dtype == np.int64
    assert tg.Tensor([1, 2], dtype=np.float32).dtype == np.float32
    assert tg.Tensor(2.5).data.shape == ()
    assert tg.Tensor(tg.Tensor(array)).data is array


def test_facts():
    t = tg.Tensor(np.zeros((2, 3, 4), np.float32), name="x")
    assert (t.shape, t.ndim, t.size, t.dtype, t.name, len(t)) == ((2, 3, 4), 3, 24, np.float32, "x", 2)
    assert t.is_leaf
    assert not t.requires_grad
    assert t.grad is None


def test_numpy_is_a_copy_and_the_data_of_a_leaf_is_the_array_itself():
    x = parameter([1.0, 2.0])
    x.numpy()[0] = 9
    assert x.data[0] == 1
    x.data[0] = 5
    assert x.numpy()[0] == 5


def test_data_is_always_an_array():
    x = parameter(3.0)
    with tg.no_grad():
        free = x * 2
    for t in (x, x * 2, free, (x * 2).detach()):
        assert type(t.data) is np.ndarray
        assert t.data.shape == ()


def test_plain_numbers():
    t = tg.Tensor(2.5)
    assert t.item() == float(t) == 2.5
    assert type(t.item()) is float
    assert int(t) == 2
    assert bool(tg.Tensor([1.0])) is True
    assert bool(tg.Tensor(0.0)) is False
    assert operator.index(tg.Tensor(3)) == 3
    assert [10, 20, 30][tg.Tensor(1)] == 20
    assert tg.Tensor([[1.0, 2.0]]).tolist() == [[1.0, 2.0]]
    assert f"{tg.Tensor(1.23456):.2f}" == "1.23"


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda t: t.item(), ValueError),
        (float, ValueError),
        (bool, ValueError),
        (operator.index, TypeError),
        (lambda t: len(t.sum()), TypeError),
        (lambda t: iter(t.sum()), TypeError),
    ],
)
def test_a_vector_is_not_a_number_and_a_number_is_not_a_vector(call, error):
    with pytest.raises(error):
        call(parameter([1.0, 2.0], name="v"))


def test_iteration_gives_recorded_rows():
    x = parameter(np.arange(6.0).reshape(3, 2))
    first, second, third = x
    assert second.shape == (2,)
    (first * 1 + second * 10 + third * 100).sum().backward()
    np.testing.assert_array_equal(x.grad, [[1, 1], [10, 10], [100, 100]])
    a, b = x[0]
    np.testing.assert_array_equal((a * b).gradient(x), [[1, 0], [0, 0], [0, 0]])
    assert sum(x[:, 1]).item() == 9.0


def test_comparisons_and_membership_are_plain():
    x = parameter([1.0, 2.0, 3.0])
    for result in (x == 2, x != 2, x < 2, x <= 2, x > 2, x >= 2, x == x.detach(), x > np.ones(3)):
        assert type(result) is np.ndarray
        assert result.dtype == np.bool_
    assert 2.0 in x
    assert 5.0 not in x
    assert len({x, x}) == 1


def test_repr_is_readable():
    assert repr(tg.Tensor([1.0, 2.0])) == "Tensor([1., 2.])"
    assert repr(parameter([1.0], name="w")) == "Tensor([1.], name='w', requires_grad=True)"
    assert repr(parameter([1.0], dtype=np.float32) * 2) == "Tensor([2.], dtype=float32, op=multiply)"
    assert repr(np.tanh(parameter(0.0)).named("h")) == "Tensor(0., name='h', op=tanh)"
    assert repr(tg.Tensor(np.zeros((2, 2)))) == "Tensor([[0., 0.],\n        [0., 0.]])"


# --------------------------------------------------------------------------------------- names and scopes


def test_names():
    x = parameter([1.0])
    assert x.name is None
    x.name = "x"
    h = (x * 2).named("h")
    assert (x.name, h.name, h.node.name) == ("x", "h", "h")
    assert h.named("g") is h


def test_a_name_does_not_change_whether_gradients_are_required():
    t = tg.Tensor([1.0], name="t")
    assert not t.requires_grad
    with pytest.raises(TypeError, match="requires gradients"):
        (t * 2).sum().backward()


# ------------------------------------------------------------------------------------------ data, switches


def test_data_of_a_computed_tensor_is_read_only_even_through_flags():
    x = parameter([1.0, 2.0])
    y = x * 2
    with pytest.raises(ValueError, match="read-only"):
        y.data[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        y.data.setflags(write=True)
    with pytest.raises(TypeError, match="cannot be replaced"):
        y.data = np.zeros(2)


def test_new_data_must_fit():
    x = parameter([1.0, 2.0], name="x")
    x.data = np.array([3.0, 4.0])
    np.testing.assert_array_equal((x * x).sum().gradient(x), [6, 8])
    for wrong in (np.zeros(3), np.zeros(2, np.float32)):
        with pytest.raises(ShapeError, match=r"'x' \(2,\) float64.*keeps its shape and dtype"):
            x.data = wrong
    x.data += 1
    np.testing.assert_array_equal(x.data, [4, 5])


def test_requires_grad_can_be_switched_on_leaves_only():
    x = tg.Tensor([1.0, 2.0], name="x")
    x.requires_grad = True
    loss = (x * x).sum()
    x.requires_grad = False  # for what is computed from now on; the graph that it is part of stays as it is
    assert not (x * 2).requires_grad
    with pytest.raises(TypeError, match=r"x \(2,\) float64"):
        loss.gradient(x)
    loss.backward(retain_graph=True)
    np.testing.assert_array_equal(x.grad, [2, 4])
    x.requires_grad = True
    np.testing.assert_array_equal(loss.gradient(x), [2, 4])
    np.testing.assert_array_equal((x * x * x).sum().gradient(x), [3, 12])
    assert x.name == "x"
    with pytest.raises(TypeError, match="only leaves can be switched"):
        (x * 2).requires_grad = False


# ------------------------------------------------------------------------------------------------- dtypes


@settings(deadline=None)
@given(
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    number=st.sampled_from([2, 2.5, True]),
    shape=st.sampled_from([(), (3,), (2, 3)]),
    op=st.sampled_from([operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.mod]),
)
def test_python_numbers_keep_the_dtype(dtype, number, shape, op):
    x = parameter(np.full(shape, 1.5, dtype))
    for y in (op(x, number), op(number, x)):
        assert y.dtype == dtype
        assert y.shape == shape
        g = y.sum().gradient(x)
        assert g.dtype == dtype
        assert g.shape == shape


def test_numpy_scalars_and_arrays_have_a_dtype_of_their_own():
    x = parameter(np.ones(3, np.float32))
    for other in (np.float64(2), np.ones(3), np.arange(3)):
        y = x * other
        assert y.dtype == np.float64
        assert y.sum().gradient(x).dtype == np.float32
    assert (x * np.float32(2)).dtype == (x * np.ones(3, np.int8)).dtype == np.float32


def test_operators_with_an_array_or_a_list_on_either_side():
    x = parameter([2.0, 4.0])
    array = np.array([1.0, 3.0])
    for other in (array, [1.0, 3.0], (1.0, 3.0)):
        for op in (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow):
            assert type(op(x, other)) is type(op(other, x)) is tg.Tensor
            np.testing.assert_array_equal(op(x, other).numpy(), op(x.numpy(), array))
            np.testing.assert_array_equal(op(other, x).numpy(), op(array, x.numpy()))
    np.testing.assert_array_equal((np.eye(2) @ x).numpy(), x.numpy())
    assert type(np.float64(3) * x) is tg.Tensor
    assert (x @ array).item() == 14


def test_augmented_assignment_rebinds():
    x = parameter([1.0, 2.0])
    y = x
    y += 1
    y *= 3
    assert y is not x
    np.testing.assert_array_equal(x.numpy(), [1, 2])
    np.testing.assert_array_equal(y.sum().gradient(x), [3, 3])


# ----------------------------------------------------------------------------------------------- indexing

INDICES = [
    (slice(None), (0, 0, 1)),
    ((0, 0), (1, 1)),
    0, -1, np.int64(1), slice(None), slice(1, None, 2), slice(None, None, -1), Ellipsis, None, (0, 1), (slice(None), 2),
    (..., 0), (None, 1, None), (slice(0, 2), ..., slice(1, 3)), [0, 2, 0], np.array([1, -1, 1]), ([0, 1], [2, 2]),
    (slice(None), [0, 0, 3]), ([0, 2], slice(None), [1, 1]), (0, slice(None), [1, 1]), np.array([[0, 1], [1, 0]]),
    np.array([True, False, True]), (slice(None), np.array([True, False, True, True])), True, False, np.array(2), [],
    (np.array([[0], [1]]), np.array([[0, 3]])), np.array([2, 2, 2], np.uint8), np.array([-1], np.int8), (),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_kind_of_index(index, dtype):
    array = np.arange(3 * 4 * 5, dtype=dtype).reshape(3, 4, 5) / 7
    x = parameter(array.copy())
    y = x[index]
    expected = array[tuple(index) if isinstance(index, tuple) else index]
    np.testing.assert_array_equal(y.numpy(), expected)
    weights = np.arange(1, expected.size + 1, dtype=dtype).reshape(expected.shape)
    counted = np.zeros_like(array)
    np.add.at(counted, index, weights)
    g = (y * weights).sum().gradient(x)
    assert g.dtype == dtype
    np.testing.assert_array_equal(g, counted)


@settings(deadline=None)
@given(
    data=st.data(),
    shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4),
)
def test_basic_and_integer_indices_of_all_shapes(data, shape):
    index = data.draw(
        st.one_of(
            hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True),
            hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(min_dims=0, max_dims=2, max_side=3)),
        )
    )
    x = parameter(np.arange(float(np.prod(shape))).reshape(shape))
    y = x[index]
    np.testing.assert_array_equal(y.numpy(), x.data[index])
    weights = np.arange(1.0, y.size + 1).reshape(y.shape)
    counted = np.zeros(shape)
    np.add.at(counted, index, weights)
    np.testing.assert_array_equal((y * weights).sum().gradient(x), counted)


def test_a_large_tensor_indexed_by_small_integers():
    x = parameter(np.ones((300, 2)))
    g = x[np.array([0, 255, 255], np.uint8)].sum().gradient(x)
    assert g.sum() == 6
    assert g[255, 0] == 2


def test_tensors_as_indices():
    x = parameter([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(x[tg.Tensor([2, 2])].sum().gradient(x), [0, 0, 2])
    assert x[tg.Tensor(1)].item() == 2
    with pytest.raises(IndexError, match="integers or booleans, not float64"):
        x[np.array([0.0])]
    with pytest.raises(IndexError, match="out of bounds"):
        x[7]


# ----------------------------------------------------------------------------------- functional assignment


def test_set_replaces_and_stops_the_old_gradient():
    x, v = parameter([1.0, 2.0, 3.0]), parameter([10.0, 20.0])
    y = x.at[[0, 2]].set(v)
    np.testing.assert_array_equal(y.numpy(), [10, 2, 20])
    gx, gv = (y * [1.0, 2.0, 3.0]).sum().gradient(x, v)
    np.testing.assert_array_equal(gx, [0, 2, 0])
    np.testing.assert_array_equal(gv, [1, 3])
    np.testing.assert_array_equal(x.numpy(), [1, 2, 3])


def test_set_with_duplicates_gives_the_gradient_to_the_value_that_stays():
    x, v = parameter([1.0, 2.0]), parameter([10.0, 20.0, 30.0])
    y = x.at[[1, 1, 0]].set(v)
    expected = np.array([1.0, 2.0])
    expected[[1, 1, 0]] = [10.0, 20.0, 30.0]
    np.testing.assert_array_equal(y.numpy(), expected)
    gx, gv = (y * [3.0, 5.0]).sum().gradient(x, v)
    np.testing.assert_array_equal(gx, [0, 0])
    np.testing.assert_array_equal(gv, [0, 5, 3])


def test_add_counts_duplicates():
    x, v = parameter([1.0, 2.0]), parameter([10.0, 20.0, 30.0])
    y = x.at[[1, 1, 0]].add(v)
    np.testing.assert_array_equal(y.numpy(), [31, 32])
    gx, gv = (y * [3.0, 5.0]).sum().gradient(x, v)
    np.testing.assert_array_equal(gx, [3, 5])
    np.testing.assert_array_equal(gv, [5, 5, 3])


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_set_and_add_at_every_kind_of_index(index):
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    x, v = parameter(array.copy()), parameter(np.float32(2))
    for method in ("set", "add"):
        expected, share = array.copy(), np.ones_like(array)
        if method == "set":
            expected[index] = 2
            share[index] = 0
        else:
            np.add.at(expected, index, np.float32(2))
        y = getattr(x.at[index], method)(v)
        np.testing.assert_array_equal(y.numpy(), expected)
        gx, gv = y.sum().gradient(x, v)
        assert gx.dtype == gv.dtype == y.dtype == np.float32
        np.testing.assert_array_equal(gx, share)
        assert gv == (60 - share.sum() if method == "set" else array[index].size)


def test_values_of_functional_assignment_broadcast_and_keep_the_dtype():
    x = parameter(np.zeros((2, 3), np.float32))
    for y in (x.at[0].set(1.0), x.at[0].add(1.0), x.at[:, 1].add([1.0, 2.0]), x.at[:, 1].set(np.ones(2))):
        assert y.dtype == np.float32
    v = parameter([1.0])
    np.testing.assert_array_equal(x.at[:, :2].add(v).sum().gradient(v), [4])
    whole = tg.Tensor([1, 2])
    for method in (whole.at[0].set, whole.at[0].add):
        with pytest.raises(TypeError, match="float64 do not fit into an array of dtype int64"):
            method(1.5)


# ----------------------------------------------------------------------------------------- copies, pickles


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_leaves_can_be_copied_and_pickled(duplicate):
    x = parameter(np.array([1.0, 2.0], np.float32), name="x")
    y = duplicate(x)
    assert (y.name, y.requires_grad, y.dtype, y.grad) == ("x", True, np.float32, None)
    y.data[0] = 9
    assert x.data[0] == 1
    np.testing.assert_array_equal((y * y).sum().gradient(y), [18, 4])
    constant = duplicate(tg.Tensor([1, 2]))
    assert not constant.requires_grad


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_computed_tensor_cannot_be_pickled_without_its_graph(duplicate):
    h = np.tanh(parameter([1.0])).named("h")
    with pytest.raises(TypeError, match=r"'h' \(1,\) float64, made by tanh.*\.detach\(\)"):
        duplicate(h)
    duplicate(h.detach())


def test_copy_is_differentiable_and_takes_every_dtype():
    x = parameter([1.0, 2.0], dtype=np.float32)
    y = x.copy()
    assert y.data.base is not x.data
    np.testing.assert_array_equal((y * y).sum().gradient(x), [2, 4])
    for data in ([True, False], [1, 2], [1j]):
        np.testing.assert_array_equal(tg.Tensor(data).copy().numpy(), data)


def test_nothing_becomes_an_object_array():
    for make in (
        lambda: tg.Tensor([1.0], dtype=object),
        lambda: tg.Tensor([1.0]).astype(object),
        lambda: tg.Tensor([1.0], dtype="U3"),
        lambda: tg.Tensor([None]),
        lambda: tg.Tensor(["a"]),
        lambda: tg.Tensor(np.array([1.0], object)),
        lambda: tg.Tensor([1.0]) + np.array([1.0], object),
        lambda: tg.Tensor([1.0]) * "a",
        lambda: tg.Tensor([1.0]) + None,
    ):
        with pytest.raises(NotDifferentiableError, match="numbers"):
            make()
