"""Mini-batches: every example once, in order or not, copied or not; epochs that can be repeated and resumed."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_mb as tg
from tinygrad_mb.minibatch import batches
from tinygrad_mb.minibatch.orders import Weighted


def joined(parts):
    parts = list(parts)
    return np.concatenate(parts) if parts else np.zeros(0, int)


@given(m=st.integers(0, 30), size=st.integers(1, 35), shuffle=st.booleans(), drop=st.booleans(), seed=st.integers(0, 9))
def test_each_example_comes_once_and_with_its_own_target(m, size, shuffle, drop, seed):
    X, Y = np.arange(2 * m).reshape(m, 2), np.arange(m)
    data = batches(X, Y, size=size, shuffle=shuffle, drop_last=drop, rng=seed)
    for _ in range(2):
        parts = list(data)
        assert len(parts) == len(data) == (m // size if drop else -(-m // size))
        assert all(len(x) == len(y) == size for x, y in parts[: None if drop else -1])
        for x, y in parts:
            np.testing.assert_array_equal(x, X[y])
        seen = joined(y for _, y in parts)
        if drop:
            assert len(set(seen)) == len(seen) == m // size * size
        else:
            np.testing.assert_array_equal(np.sort(seen) if shuffle else seen, Y)


def test_a_single_array_comes_bare():
    (first, second) = batches([1.0, 2.0, 3.0], size=2, shuffle=False)
    np.testing.assert_array_equal(first, [1, 2])
    np.testing.assert_array_equal(second, [3])


def test_without_shuffling_the_parts_are_views():
    X = np.zeros((5, 2))
    for x, _ in batches(X, np.zeros(5), size=2, shuffle=False):
        assert np.shares_memory(x, X)


def test_shuffled_parts_are_copies():
    X = np.zeros((5, 2))
    for x, _ in batches(X, np.zeros(5), size=5, rng=0):
        assert not np.shares_memory(x, X)


# -------------------------------------------------------------------------------------------------- epochs


def test_the_order_of_an_epoch_is_that_of_a_child_of_the_seed():
    data = batches(np.arange(50), size=7, rng=3)
    for child in np.random.SeedSequence(3).spawn(3):
        np.testing.assert_array_equal(joined(data), np.random.default_rng(child).permutation(50))
    data.epoch = 1
    child = np.random.SeedSequence(3).spawn(2)[1]
    np.testing.assert_array_equal(joined(data), np.random.default_rng(child).permutation(50))


def test_a_generator_draws_the_seed_once():
    rng, twin = np.random.default_rng(1), np.random.default_rng(1)
    data, other = batches(np.arange(50), size=50, rng=rng), batches(np.arange(50), size=50, rng=rng)
    assert data.seed == twin.integers(2**63)
    (first,), (second,) = data, data
    assert not np.array_equal(first, second)
    again = batches(np.arange(50), size=50, rng=data.seed)
    np.testing.assert_array_equal(joined(again), first)
    np.testing.assert_array_equal(joined(again), second)
    assert not np.array_equal(joined(other), first)
    assert other.seed == twin.integers(2**63)
    assert rng.random() == twin.random()


def test_without_a_seed_no_two_are_alike():
    data = batches(np.arange(50), size=50), batches(np.arange(50), size=50)
    assert data[0].seed != data[1].seed
    assert not np.array_equal(joined(data[0]), joined(data[1]))


def test_the_epoch_counts_iterations_and_can_be_set():
    data = batches(np.arange(4), size=2, shuffle=False)
    for epoch in range(3):
        assert data.epoch == epoch
        assert [data.epoch for _ in data] == [epoch, epoch]
    data.epoch = np.int64(7)
    assert [data.epoch for _ in data] == [7, 7]
    with pytest.raises(ValueError, match="epoch must be 0 or more, not -1"):
        data.epoch = -1
    with pytest.raises(TypeError, match=r"epoch must be an integer, not 1\.5"):
        data.epoch = 1.5
    assert data.epoch == 8


def test_an_iteration_that_is_left_has_used_up_its_epoch():
    data, whole = batches(np.arange(9), size=2, rng=0), batches(np.arange(9), size=2, rng=0)
    epochs = [joined(whole) for _ in range(4)]
    for _ in data:
        break
    assert data.state_dict()["epoch"] == 0
    assert data.state_dict()["batch"] == 1
    np.testing.assert_array_equal(joined(data), epochs[1])
    iter(data)  # begun, though nothing was taken
    np.testing.assert_array_equal(joined(data), epochs[3])


def test_after_break_the_rest_of_the_epoch_comes_if_its_state_is_loaded():
    data, whole = batches(np.arange(9), size=2, rng=0), batches(np.arange(9), size=2, rng=0)
    first = next(iter(data))
    data.load_state_dict(data.state_dict())
    np.testing.assert_array_equal(np.concatenate([first, *data]), joined(whole))
    np.testing.assert_array_equal(joined(data), joined(whole))


def test_two_iterations_at_once_walk_through_two_epochs_and_the_younger_is_the_state():
    data, whole = batches(np.arange(9), size=2, rng=0), batches(np.arange(9), size=2, rng=0)
    older, younger = iter(data), iter(data)
    pairs = [next(older), next(younger), next(older), next(younger), next(older)]
    state = data.state_dict()
    assert (state["epoch"], state["batch"]) == (1, 2)
    rest = list(older), list(younger)
    np.testing.assert_array_equal(np.concatenate([*pairs[::2], *rest[0]]), joined(whole))
    np.testing.assert_array_equal(np.concatenate([*pairs[1::2], *rest[1]]), joined(whole))
    assert (data.epoch, data.state_dict()["batch"]) == (2, 0)


# ------------------------------------------------------------------------------------------------ resuming


def sampling(kind, m):
    if kind == "stratified":
        return {"stratify": np.arange(m) % 3}
    if kind == "weighted":
        return {"weights": np.arange(m) + 1.0, "draws": m + 3}
    return {"shuffle": kind == "shuffled"}


@given(
    m=st.integers(1, 20),
    size=st.integers(1, 8),
    drop=st.booleans(),
    kind=st.sampled_from(["in order", "shuffled", "stratified", "weighted"]),
    stop=st.integers(0, 40),
)
def test_a_run_that_is_resumed_anywhere_gives_what_an_uninterrupted_one_gives(m, size, drop, kind, stop):
    def new():
        return batches(np.arange(m), size=size, drop_last=drop, rng=5, **sampling(kind, m))

    def run(data, epochs):
        while data.epoch < epochs:
            yield from data

    whole, interrupted, resumed = new(), new(), new()
    before = list(itertools.islice(run(interrupted, 3), stop))
    state = json.loads(json.dumps(interrupted.state_dict()))
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    after = list(run(resumed, 3))
    np.testing.assert_array_equal(joined(before + after), joined(run(whole, 3)))


def test_the_state_during_the_last_batch_has_nothing_left():
    data = batches(np.arange(4), size=2, rng=0)
    states = [data.state_dict() for _ in data]
    assert [(state["epoch"], state["batch"]) for state in states] == [(0, 1), (0, 2)]
    assert (data.state_dict()["epoch"], data.state_dict()["batch"]) == (1, 0)
    data.load_state_dict(states[-1])
    assert list(data) == []
    assert data.epoch == 1


@pytest.mark.parametrize(("m", "arguments", "message"), [
    (8, {}, "examples 9, and these have 8"),
    (9, {"size": 3}, "size 2, and these have 3"),
    (9, {"drop_last": True}, "batches 5, and these have 4"),
    (9, {"rng": 1}, r"seed 0, and these have 1; .* rng=state\['seed'\]"),
    (9, {"shuffle": False}, "seed 0, and these have None"),
    (9, {"stratify": np.arange(9) % 2}, "sampling 'shuffled', and these have 'stratified [0-9a-f]{8}'"),
    (9, {"weights": np.ones(9)}, "sampling 'shuffled', and these have 'weighted [0-9a-f]{8}'"),
])  # fmt: skip
def test_a_state_of_other_batches_is_refused(m, arguments, message):
    data = batches(np.arange(m), **{"size": 2, "rng": 0, **arguments})
    before = data.state_dict()
    with pytest.raises(ValueError, match=message):
        data.load_state_dict(batches(np.arange(9), size=2, rng=0).state_dict())
    assert data.state_dict() == before


@pytest.mark.parametrize("name", ["stratify", "weights"])
def test_a_state_of_other_classes_or_weights_is_refused(name):
    state = batches(np.arange(4), size=2, rng=0, **{name: [1, 1, 2, 2]}).state_dict()
    with pytest.raises(ValueError, match="the state is of batches with sampling"):
        batches(np.arange(4), size=2, rng=0, **{name: [1, 2, 1, 2]}).load_state_dict(state)


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"batch": 6}, ValueError, "the state's batch is 6, and an epoch has 5"),
    ({"batch": -1}, ValueError, "the state's batch must be 0 or more, not -1"),
    ({"epoch": -1}, ValueError, "the state's epoch must be 0 or more, not -1"),
    ({"epoch": "1"}, TypeError, "the state's epoch must be an integer, not '1'"),
    ({"step": 3}, ValueError, r"has the keys \['epoch', 'batch', .*\], not \[.*'step'\]"),
])  # fmt: skip
def test_a_broken_state_is_refused(change, error, message):
    data = batches(np.arange(9), size=2, rng=0)
    before = data.state_dict()
    with pytest.raises(error, match=message):
        data.load_state_dict({**before, **change})
    assert data.state_dict() == before


# ------------------------------------------------------------------------------------------------ sampling


@given(
    counts=st.lists(st.integers(0, 20), max_size=5),
    size=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_stratified_batches_have_each_class_to_less_than_one_example(counts, size, seed):
    m = sum(counts)
    kinds = np.random.default_rng(seed).permutation(np.repeat(np.array(list("edcba")[: len(counts)], "U1"), counts))
    labels = kinds.tolist()
    data = batches(np.arange(m), size=size, rng=seed, stratify=labels)
    for _ in range(2):
        parts = list(data)
        np.testing.assert_array_equal(np.sort(joined(parts)), np.arange(m))
        assert [len(part) for part in parts] == [min(size, m - k) for k in range(0, m, size)]
        for part in parts:
            for kind in set(labels):
                assert abs(m * (kinds[part] == kind).sum() - len(part) * (kinds == kind).sum()) < m


def test_every_example_comes_to_every_stratified_batch_and_place_equally_often():
    labels = [0, 0, 0, 0, 1, 1, 2, 2]
    data = batches(np.arange(8), size=3, rng=0, stratify=labels)
    orders = np.array([joined(data) for _ in range(8000)])
    counts = np.array([np.bincount(place, minlength=8) for place in orders.T])
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000 * 7 / 8)  # five standard deviations of a binomial count


@given(
    weights=st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0, 1.5e308]), min_size=1, max_size=8).filter(any),
    seed=st.integers(0, 20),
)
def test_weighted_draws_have_their_frequencies(weights, seed):
    n = 4000
    data = batches(np.arange(len(weights)), size=64, rng=seed, weights=weights, draws=n)
    seen = joined(data)
    assert len(seen) == n
    assert len(data) == -(-n // 64)
    p = np.array(weights) / max(weights)
    p /= p.sum()
    counts = np.bincount(seen, minlength=len(p))
    assert (counts[np.array(weights) == 0] == 0).all()
    assert (np.abs(counts - n * p) <= 6 * np.sqrt(n * p * (1 - p)) + 1).all()


def test_what_has_no_weight_is_drawn_at_no_bound():
    class Bounds:
        def random(self, count):
            return np.array([0.0, np.nextafter(0.25, 0), 0.25, np.nextafter(1, 0)])[:count]

    drawn = Weighted([0.0, 1.0, 0.0, 3.0, 0.0], 5, 4).draw(Bounds())
    np.testing.assert_array_equal(drawn, [1, 1, 3, 3])


def test_weighted_draws_are_independent_and_as_many_as_examples():
    data = batches(np.arange(5), size=2, rng=0, weights=np.ones(5))
    epochs = [joined(data) for _ in range(20)]
    assert all(len(epoch) == 5 for epoch in epochs)
    assert any(len(set(epoch)) < 5 for epoch in epochs)


def test_importance_weights_make_the_gradient_that_of_the_mean_again():
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(6, 2)), np.array([1.0, 2.0, 3.0, 4.0, 5.0, 5.0])
    data = batches(X, w.mean() / w, size=1000, rng=1, weights=w, draws=60_000)
    parts = list(data)  # the gradient of x @ θ is x
    drawn = np.concatenate([x for x, _ in parts])
    corrected = np.concatenate([c[:, None] * x for x, c in parts])
    np.testing.assert_allclose(drawn.mean(axis=0), w @ X / w.sum(), atol=0.02)
    np.testing.assert_allclose(corrected.mean(axis=0), X.mean(axis=0), atol=0.02)
    assert np.abs(w @ X / w.sum() - X.mean(axis=0)).max() > 0.1


# -------------------------------------------------------------------------------------------- kinds of data


class Stored:
    """Like an array in a file: slices, and arrays of strictly increasing indices; not all kinds have a length."""

    def __init__(self, array):
        self.array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.rows_read = 0

    def __getitem__(self, index):
        if not isinstance(index, slice):
            assert isinstance(index, np.ndarray)
            if (np.diff(index) <= 0).any():
                raise TypeError("Indexing elements must be in increasing order")
        part = self.array[index]
        self.rows_read += len(part)
        return part


class Table:
    """Like a table of pandas: an index chooses columns, ``iloc`` rows."""

    def __init__(self, rows):
        self.iloc = rows
        self.shape = rows.shape

    def __len__(self):
        return len(self.iloc)

    def __getitem__(self, label):
        raise KeyError(label)


@pytest.mark.parametrize("arguments", [{"shuffle": False}, {}, {"weights": [3, 1, 1, 1, 1, 1, 9]}], ids=str)
@pytest.mark.parametrize("kind", [Stored, Table, tg.Tensor, np.ndarray.tolist, "memmap"], ids=str)
def test_any_kind_of_data_is_cut_alike(kind, arguments, tmp_path):
    X = np.arange(14.0).reshape(7, 2)
    if kind == "memmap":
        np.save(tmp_path / "X.npy", X)
        data = np.load(tmp_path / "X.npy", mmap_mode="r")
    else:
        data = kind(X)
    for part, k in batches(data, np.arange(7), size=3, rng=0, **arguments):
        array = part.data if kind is tg.Tensor else part
        assert isinstance(part, tg.Tensor) == (kind is tg.Tensor)
        assert type(array) is np.ndarray
        assert array.dtype == X.dtype
        np.testing.assert_array_equal(array, X[k])


def test_stored_data_are_read_batch_by_batch():
    data = Stored(np.arange(10.0))
    parts = iter(batches(data, size=4, rng=0))
    assert data.rows_read == 0
    next(parts)
    assert data.rows_read == 4


def test_a_memory_map_is_not_copied(tmp_path):
    np.save(tmp_path / "X.npy", np.arange(6.0))
    data = np.load(tmp_path / "X.npy", mmap_mode="r")
    for part in batches(data, size=4, shuffle=False):
        assert np.shares_memory(part, data)


@pytest.mark.parametrize("items", [
    ["a", "bc", "d", "e", "f"],
    ("a", "bc", "d", "e", "f"),
    [[1], [2, 3], [], [4], [5]],
    [np.zeros((1, 2)), np.ones((2, 2)), "c", None, {}],
    [tg.Tensor(1.0, requires_grad=True, name=name) for name in "abcde"],
    "abcde",
], ids=["strings", "tuple", "ragged", "anything", "tensors", "string"])  # fmt: skip
def test_the_parts_of_a_list_of_anything_are_lists(items):
    for shuffle in (False, True):
        for part, k in batches(items, range(5), size=2, shuffle=shuffle, rng=0):
            assert type(part) is list
            assert type(k) is np.ndarray
            assert len(part) == len(k)
            assert all(x is items[i] for x, i in zip(part, k, strict=True))


def test_tensors_are_cut_as_tensors():
    X = tg.Tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    total = sum((x.sum() * k for k, x in enumerate(batches(X, size=2, shuffle=False), 1)), tg.Tensor(0.0))
    np.testing.assert_array_equal(total.gradient(X), [[1, 1], [1, 1], [2, 2]])
    (order,) = batches(np.arange(3), size=3, rng=0)
    (x,) = batches(X, size=3, rng=0)
    gradient = (x * np.arange(6.0).reshape(3, 2)).sum().gradient(X)
    assert gradient.dtype == X.dtype
    np.testing.assert_array_equal(gradient[order], np.arange(6.0).reshape(3, 2))


# ------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(("arrays", "arguments", "error", "message"), [
    ((), {}, ValueError, "no arrays"),
    ((np.zeros(3), np.zeros((4, 1))), {}, tg.errors.ShapeError,
     r"along axis 0: array 0 \(3,\) float64, array 1 \(4, 1\) float64"),
    ((np.zeros(3), ["a", "b"]), {}, tg.errors.ShapeError, r"array 0 \(3,\) float64, array 1 list of 2"),
    ((np.zeros(()),), {}, tg.errors.ShapeError, "without axes has no examples"),
    ((3.0,), {}, tg.errors.ShapeError, "without axes has no examples"),
    (({"x": np.zeros(3)},), {}, TypeError, r"array 0 is a dict: pass its arrays one by one, `\*data\.values\(\)`"),
    ((np.zeros(3),), {"size": 0}, ValueError, "size must be 1 or more, not 0"),
    ((np.zeros(3),), {"size": 1.5}, TypeError, r"size must be an integer, not 1\.5"),
    ((np.zeros(3),), {"rng": -1}, ValueError, "rng, a generator or a seed, must be 0 or more, not -1"),
    ((np.zeros(3),), {"rng": "a"}, TypeError, "rng, a generator or a seed, must be an integer, not 'a'"),
    ((np.zeros(3),), {"stratify": [0, 1]}, tg.errors.ShapeError,
     r"stratify must be one .* for each of the 3 examples, of shape \(3,\), not \(2,\) int64"),
    ((np.zeros(3),), {"stratify": np.eye(3)}, tg.errors.ShapeError, r"of shape \(3,\), not \(3, 3\) float64"),
    ((np.zeros(3),), {"weights": [1.0, 2.0]}, tg.errors.ShapeError, r"weights must be .* not \(2,\) float64"),
    ((np.zeros(3),), {"weights": [1, -2, 1]}, ValueError, r"not negative, and weight 1 is -2\.0"),
    ((np.zeros(3),), {"weights": [1, 1, np.nan]}, ValueError, "must be finite .* weight 2 is nan"),
    ((np.zeros(3),), {"weights": [1, 1, np.inf]}, ValueError, "must be finite .* weight 2 is inf"),
    ((np.zeros(3),), {"weights": [0, 0, 0]}, ValueError, "all weights are zero"),
    ((np.zeros(0),), {"weights": []}, ValueError, "all weights are zero"),
    ((np.zeros(3),), {"weights": ["a", "b", "c"]}, TypeError, r"weights must be real numbers, not \(3,\) <U1"),
    ((np.zeros(3),), {"weights": [1, 1, 1], "draws": 0}, ValueError, "draws must be 1 or more, not 0"),
    ((np.zeros(3),), {"draws": 5}, ValueError, "there are no weights"),
    ((np.zeros(3),), {"weights": [1, 1, 1], "stratify": [1, 1, 1]}, ValueError, "exclude each other"),
    ((np.zeros(3),), {"weights": [1, 1, 1], "shuffle": False}, ValueError, "leave out shuffle=False"),
    ((np.zeros(3),), {"stratify": [1, 1, 1], "shuffle": False}, ValueError, "leave out shuffle=False"),
])  # fmt: skip
def test_what_cannot_be_cut_is_refused(arrays, arguments, error, message):
    with pytest.raises(error, match=message):
        batches(*arrays, **{"size": 2, **arguments})


def test_repr():
    assert repr(batches(np.zeros((5, 2)), size=2)) == "<3 batches of up to 2 of 5 examples>"
    assert repr(batches(np.zeros(5), size=2, weights=np.ones(5), draws=9)) == "<5 batches of up to 2 of 9 examples>"
