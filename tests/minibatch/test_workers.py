"""Two and three processes give the numbers of one, on uneven and on empty shards; what goes wrong is told to all."""

import os
import pickle
import re
import signal
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.minibatch import Mean, Sums, Workers

ROOT = Path(tg.__file__).parents[1]
PROGRAM = Path(__file__).parent / "on_workers.py"
DIGITS = ROOT / "docs" / "examples" / "digits_mpi.py"


@pytest.fixture
def mpiexec():
    pytest.importorskip("mpi4py")  # the extra "test" brings it, which the next test holds
    return Path(sysconfig.get_path("scripts")) / "mpiexec"


def test_the_extra_for_tests_brings_mpi():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [re.split(r"[^\w-]", requirement)[0] for requirement in extras["mpi"]] == ["mpi4py", "mpich"]
    assert any(re.match(r"tinygrad_mb\[[\w,]*\bmpi\b", requirement) for requirement in extras["test"])


def run(*command, ok=True):
    """Run a command; all of its processes are gone when it returns."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [str(part) for part in command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert (process.returncode == 0) == ok, err
    return out if ok else err


def on_workers(mpiexec, n, name, directory):
    """What each of ``n`` workers returned from a function in on_workers.py."""
    run(mpiexec, "-n", n, sys.executable, "-W", "error", PROGRAM, name, directory)
    return [pickle.loads((directory / f"{rank}.pickle").read_bytes()) for rank in range(n)]


# ------------------------------------------------------------------------------- several processes


@pytest.mark.parametrize("n", [2, 3])
def test_uneven_and_empty_shards_give_the_numbers_of_one_process(mpiexec, n, tmp_path):
    run(sys.executable, "-W", "error", PROGRAM, "different_cuts", tmp_path)  # alone, without mpiexec
    alone = pickle.loads((tmp_path / "0.pickle").read_bytes())
    workers = on_workers(mpiexec, n, "different_cuts", tmp_path)
    cuts = len(workers[0]) // 2
    for results in workers:
        for k, result in enumerate(results):
            dtype = ("float64", "float32")[k // cuts]
            tolerance = {"float64": 1e-12, "float32": 1e-5}[dtype]
            loss, gradient, *metrics = alone[k // cuts]
            np.testing.assert_allclose(result[0], loss, rtol=tolerance)
            np.testing.assert_allclose(result[2:], metrics, rtol=1e-12)
            assert result[1].keys() == gradient.keys()
            for path, g in result[1].items():
                assert (type(g), g.shape, g.dtype) == (np.ndarray, gradient[path].shape, dtype)
                np.testing.assert_allclose(g, gradient[path], rtol=tolerance, atol=tolerance)
    for results in workers[1:]:  # and all workers have the same bits
        assert pickle.dumps(results) == pickle.dumps(workers[0])


def test_the_digits_give_the_same_numbers_on_one_two_and_three_processes(mpiexec):
    alone, single, *several = (
        [re.findall(r"-?\d+\.\d+", line) for line in run(*command, sys.executable, "-W", "error", DIGITS).splitlines()]
        for command in ([], [mpiexec, "-n", 1], [mpiexec, "-n", 2], [mpiexec, "-n", 3])
    )
    assert alone == single
    assert len(alone) == 3
    assert float(alone[-1][1]) > 0.9
    for numbers in several:
        np.testing.assert_allclose(np.array(numbers, float), np.array(alone, float), rtol=1e-12)
    page = (ROOT / "docs" / "splitting.md").read_text()
    shown = [re.findall(r"-?\d+\.\d+", line) for line in page.splitlines() if line.startswith("epoch ")]
    np.testing.assert_allclose(np.array(shown, float), np.array(alone, float), rtol=1e-9)


@pytest.mark.parametrize("n", [2, 3])
def test_shards_are_all_examples_each_once_and_in_order(mpiexec, n, tmp_path):
    X = np.arange(14).reshape(7, 2)
    parts = on_workers(mpiexec, n, "shards", tmp_path)
    np.testing.assert_array_equal(np.concatenate([rows for rows, *_ in parts]), X)
    assert {len(rows) for rows, *_ in parts} == {7 // n, 7 // n + 1}
    assert sorted(len(x) for _, (x, _), *_ in parts) == [0] * (n - 1) + [1]
    assert all((x.shape, y.shape) == ((len(x), 2), (len(x),)) for _, (x, y), *_ in parts)
    assert all(nothing.shape == (0, 2) for _, _, nothing, _ in parts)
    assert [k for *_, four in parts for k in four] == [0, 1, 2, 3]


@pytest.mark.parametrize("n", [2, 3])
def test_what_does_not_belong_together_is_an_error_on_all_workers(mpiexec, n, tmp_path):
    found, *others = on_workers(mpiexec, n, "messages", tmp_path)
    assert all(other[:-1] == found[:-1] for other in others)
    k = n - 1
    expected = [
        rf"Workers.sum: workers 0 and {k} .*parameter 'w': \(2,\) float64 and \(3,\) float64",
        rf"Workers.sum: workers 0 and {k} .*parameter 'b': missing and \(\) float64",
        rf"Workers.sum: workers 0 and {k} .*unit: example and token",
        rf"Workers.sum: workers 0 and {k} .*kind: Sums and Mean",
        rf"Workers.sum: the parameters have other values on worker {k} than on worker 0.*workers.broadcast\(params\)",
        rf"Workers.broadcast: workers 0 and {k} .*parameter 'w': \(2,\) float64 and \(3,\) float64",
        r"different call: sum and broadcast",
    ]
    assert len(found) == len(expected)
    for message, pattern in zip(found, expected, strict=True):
        assert re.search(pattern, message), message


def test_broadcast_gives_all_workers_the_parameters_of_the_first(mpiexec, tmp_path):
    first, second = on_workers(mpiexec, 2, "broadcast", tmp_path)
    for path, array in (
        tg.nn.Sequential(tg.nn.Linear(2, 3, rng=0), np.tanh, tg.nn.Linear(3, 1, rng=0)).state_dict().items()
    ):
        np.testing.assert_array_equal(first[0][path], array)
        np.testing.assert_array_equal(second[0][path], array)
    for state in (first[0], second[0]):
        np.testing.assert_array_equal(state["shift"], np.zeros(3))
    for arrays in (first[1], second[1]):
        assert not arrays["a"].any()
        assert not arrays["b"].any()
        assert (arrays["a"].dtype, arrays["b"].dtype) == (np.float64, np.float16)
    for a, b in zip(first[2], second[2], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("start", [[], ["-m", "mpi4py"]])
def test_a_worker_that_fails_ends_the_others_that_wait_for_it(mpiexec, start, tmp_path):
    errors = run(mpiexec, "-n", 2, sys.executable, *start, PROGRAM, "one_fails", tmp_path, ok=False)
    assert "RuntimeError: this worker fails" in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["one_ends", "one_exits"])
def test_a_worker_that_has_ended_is_not_waited_for(mpiexec, name, tmp_path):
    apart = ("-errfile-pattern", tmp_path / "errors of %r")  # two workers write at once
    run(mpiexec, *apart, "-n", 3, sys.executable, PROGRAM, name, tmp_path, ok=False)
    errors = [path.read_text() for path in tmp_path.glob("errors of *")]
    told = "RuntimeError: Workers.sum: worker 2 came to the end of the program without it"
    assert any(told in text for text in errors), errors


def test_workers_wait_for_the_last_one(mpiexec, tmp_path):
    assert on_workers(mpiexec, 3, "one_sleeps", tmp_path) == [3, 3, 3]


def test_workers_of_a_communicator_of_one_s_own(mpiexec, tmp_path):
    assert on_workers(mpiexec, 3, "part_of_them", tmp_path) == [
        ("<worker 0 of 2>", 1), ("<worker 0 of 1>", 1), ("<worker 1 of 2>", 1)
    ]  # fmt: skip


# ------------------------------------------------------------------------------------- one process


def test_one_worker_alone_has_everything_and_loads_no_mpi():
    program = (
        "import sys, numpy as np, tinygrad_mb as tg; workers = tg.minibatch.Workers(); "
        "mean = tg.minibatch.Mean(); mean.add(workers.shard(np.arange(5.0))); w = np.ones(2); workers.broadcast(w); "
        "print(workers, workers.rank, workers.size, workers.sum(mean), 'mpi4py' in sys.modules)"
    )
    assert run(sys.executable, "-c", program) == "<worker 0 of 1> 0 1 <Mean 2 of 5 examples> False\n"


def test_what_is_summed_is_not_what_was_added_to():
    a, b = Mean(), Sums(np.ones(2))
    a.add([1.0])
    summed, sums = Workers().sum(a, b)
    summed.add([3.0])
    sums.add(lambda w, x: x @ w, np.ones((1, 2)))
    assert (a.count, summed.count, b.count, sums.count) == (1, 2, 0, 1)


@pytest.mark.parametrize(("method", "arguments", "error", "message"), [
    ("shard", (), TypeError, "no arrays"),
    ("shard", (np.float64(1),), tg.errors.ShapeError, "without axes"),
    ("shard", (np.ones(2), np.ones((3, 1))), tg.errors.ShapeError, r"array 0 \(2,\) float64, array 1 \(3, 1\) float64"),
    ("sum", (), TypeError, "nothing to sum"),
    ("sum", (np.ones(2),), TypeError, r"wants Sums or Mean, not \(2,\) float64"),
    ("broadcast", ({"w": 1.0},), TypeError, r"parameter 'w', float 1.0, cannot be written to"),
    ("broadcast", (np.broadcast_to(1.0, 3),), TypeError, "cannot be written to"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(method, arguments, error, message):
    with pytest.raises(error, match=message):
        getattr(Workers(), method)(*arguments)


def test_started_by_mpiexec_without_mpi4py_is_an_error_and_not_many_that_work_alone(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r"mpiexec has started this program, and mpi4py cannot be imported.*\[mpi\]"):
        Workers()


def test_mpiexec_of_another_mpi_is_an_error_and_not_many_that_work_alone(monkeypatch):
    world = SimpleNamespace(Get_size=lambda: 1, Get_rank=lambda: 0)
    fake = SimpleNamespace(
        MPI=SimpleNamespace(COMM_WORLD=world, Get_library_version=lambda: "Some MPI 1.0\nbuilt today")
    )
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "3")
    monkeypatch.setitem(sys.modules, "mpi4py", fake)
    with pytest.raises(RuntimeError, match=r"started 3 processes, and mpi4py sees 1.*\(Some MPI 1.0\)\."):
        Workers()
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "1")
    assert repr(Workers()) == "<worker 0 of 1>"
