"""The command line, and the demonstration that it runs."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb import userfile
from tinygrad_mb.checking import derivations
from tinygrad_mb.cli import main
from tinygrad_mb.demo import data, identity, training
from tinygrad_mb.derivation import derive

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
HAS_LAYOUT = shutil.which("dot") is not None or importlib.util.find_spec("pygraphviz") is not None
HAS_SKLEARN = importlib.util.find_spec("sklearn") is not None
KEYS = ["one_by_one", "by_hand", "central_differences", "averaged_first"]


@pytest.fixture
def demo(tmp_path, capsys):
    def run(*arguments):
        code = main(["demo", "--out", str(tmp_path / "out"), *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def no_sklearn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)


# ------------------------------------------------------------------------------------------- arguments


def test_version_and_help(capsys):
    for arguments, expected in [
        (["--version"], [f"tinygrad_mb {tg.__version__}"]),
        (["--help"], ["demo", "check", "derive", "mini-batches", "--version"]),
        (["demo", "--help"], ["--json", "--quiet", "--out", "--seed", "demo-output", "97 %"]),
        (["check", "--help"], ["FILE", "loss(params, x, y)", "hand_gradients", "0 if all are right"]),
        (["derive", "--help"], ["FILE", "loss(params, x, y)", "--text", "--latex", "--numpy"]),
    ]:
        with pytest.raises(SystemExit, match=r"^0$"):
            main(arguments)
        out = capsys.readouterr().out
        for text in expected:
            assert text in out


def test_no_command_prints_the_help(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert "demo" in err


@pytest.mark.parametrize("seed", ["-1", "1.5", "one"])
def test_a_wrong_seed_is_refused(capsys, seed):
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["demo", f"--seed={seed}"])
    assert f"a seed is a whole number from 0 on, not '{seed}'" in capsys.readouterr().err


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["demo", "--out", str(tmp_path / "file" / "below")]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("tinygrad-mb: ")
    assert err.count("\n") == 1


def test_the_module_is_the_program():
    done = subprocess.run(
        [sys.executable, "-m", "tinygrad_mb", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"tinygrad_mb {tg.__version__}\n"


# ----------------------------------------------------------------------------------- files with a derivation


@pytest.fixture
def file(tmp_path, monkeypatch, capsys):
    """Write a file, run a command on it; returns the exit code and what was printed."""
    monkeypatch.chdir(tmp_path)

    def run(command, text, *options):
        (tmp_path / "mine.py").write_text(text, encoding="utf-8")
        code = main([command, "mine.py", *options])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_right_gradients_are_one_line_and_exit_with_0(capsys):
    assert main(["check", str(EXAMPLES / "my_derivation.py")]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("All 4 gradients of the loss are right")
    assert (out.count("\n"), err) == (1, "")


def test_wrong_gradients_are_told_and_exit_with_1(capsys):
    assert main(["check", str(EXAMPLES / "my_derivation_wrong.py")]) == 1
    out, err = capsys.readouterr()
    assert "2 of 4 gradients of the loss are wrong: b1 and W1." in out
    assert "derivative of tanh is missing" in out
    assert err == ""


def test_the_example_that_messages_show_is_a_right_one(file):
    assert len(userfile.EXAMPLE.splitlines()) == 10
    code, out, err = file("check", userfile.EXAMPLE)
    assert (code, err) == (0, "")
    assert "right" in out


def test_the_arguments_of_loss_say_what_the_batch_is_called(file):
    text = userfile.EXAMPLE.replace("params, x, y", "params, inputs, y, scale=1.0").replace("x, y =", "inputs, y =")
    code, _, err = file("check", text.replace("x @", "inputs @").replace("x.T", "inputs.T").replace("len(x)", "len(y)"))
    assert (code, err) == (0, "")


def test_gradients_may_be_given_as_they_are(file):
    text = userfile.EXAMPLE.replace("def hand_gradients(params, x, y):\n    return ", "hand_gradients = ")
    assert file("check", text)[0] == 0
    assert file("check", text.replace("2 * x.T", "x.T"))[0] == 1


def test_a_file_may_import_its_neighbours_and_leaves_no_trace(file, tmp_path):
    (tmp_path / "neighbour_of_mine.py").write_text("FACTOR = 2\n")
    text = userfile.EXAMPLE.replace("2 * x.T", "FACTOR * x.T")
    file("check", userfile.EXAMPLE)  # imports what it needs
    path, modules = sys.path[:], len(sys.modules)
    assert file("check", "from neighbour_of_mine import FACTOR\n" + text)[0] == 0
    assert sys.modules.pop("neighbour_of_mine").FACTOR == 2
    assert sys.path == path
    assert file("check", userfile.EXAMPLE)[0] == 0
    assert len(sys.modules) == modules


@pytest.mark.parametrize(("text", "message"), [
    ("", "mine.py: it defines no function `loss`. A file with a derivation looks like this:"),
    ("loss = 3.0", "mine.py: its `loss` is not a function. A file with"),
    ("def loss(params, x, y): ...", "mine.py: it defines no `params`. A file"),
    ("params = 1.0\ndef loss(params, x, y): ...", "mine.py: it defines no `x`, which `loss` takes. A file"),
    ("params = x = 1.0\ndef loss(params, x): ...", "mine.py: it defines no `hand_gradients`. A file"),
])  # fmt: skip
def test_a_missing_name_is_told_with_an_example(file, text, message):
    code, out, err = file("check", text)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert "\n    def hand_gradients(params, x, y):\n" in err


def test_a_file_that_is_not_there(capsys):
    for command in ("check", "derive"):
        assert main([command, "nowhere.py"]) == 2
        assert capsys.readouterr().err == "nowhere.py: there is no such file\n"


@pytest.mark.parametrize(("old", "new", "line", "error"), [
    ("import numpy as np", "import nump", 1, "ModuleNotFoundError: No module named 'nump'"),
    ("np.ones((3, 3))", "np.ones(3, 3)", 4, "TypeError: "),
    ('@ params["W"] - y).sum', '@ params["V"] - y).sum', 7, "KeyError: 'V'"),
    ('@ params["W"] - y).sum', '@ params["W"].T[:2] - y).sum', 7, "tinygrad_mb.errors.ShapeError: matmul: "),
    ("2 * x.T @", "2 * x @", 10, "ValueError: matmul: "),
    ("/ len(x)", "/ len(z)", 10, "NameError: name 'z' is not defined"),
    ("return {", "raise SystemExit(3)  # {", 10, "SystemExit: 3"),
])  # fmt: skip
def test_an_error_in_the_file_is_shown_with_its_own_lines_only(file, old, new, line, error):
    text = userfile.EXAMPLE.replace(old, new, 1)
    assert text != userfile.EXAMPLE
    code, out, err = file("check", text)
    assert (code, out) == (2, "")
    assert err.startswith("Traceback (most recent call last):\n")
    assert re.findall(r'File "(.*)", line (\d+)', err) == [("mine.py", str(line))]
    assert error in err
    assert text.splitlines()[line - 1].strip() in err


def test_a_syntax_error_is_shown_where_it_is(file):
    code, _, err = file("derive", "params = 1.0\ndef loss(params:\n")
    assert code == 2
    assert 'File "mine.py", line 2' in err
    assert "SyntaxError: '(' was never closed" in err
    assert "tinygrad_mb" not in err


def test_what_is_wrong_with_a_file_as_a_whole_is_one_line(file):
    code, _, err = file("check", userfile.EXAMPLE.replace('@ params["W"] - y).sum', "- y).sum"))
    assert code == 2
    assert err.startswith("mine.py: ")
    assert "Traceback" not in err


def test_an_error_of_ours_is_not_blamed_on_the_file(file, monkeypatch):
    def broken(*_):
        raise AssertionError("ours")

    monkeypatch.setattr(derivations, "check_derivation", broken)
    with pytest.raises(AssertionError, match="ours"):
        file("check", userfile.EXAMPLE)


@pytest.mark.parametrize("form", ["text", "latex", "numpy"])
def test_the_form_of_a_derivation(file, monkeypatch, form):
    class Derivation:
        def __getattr__(self, name):
            return lambda: f"as {name}"

    given = []
    monkeypatch.setattr(derive, "derive", lambda *arguments: given.append(arguments) or Derivation())
    assert file("derive", userfile.EXAMPLE, f"--{form}") == (0, f"as {form}\n", "")
    (loss, params, x, y), = given  # fmt: skip
    assert callable(loss)
    assert [params["W"].shape, x.shape, y.shape] == [(3, 3), (5, 3), (5, 3)]
    assert file("derive", userfile.EXAMPLE) == (0, "as text\n", "")


def test_a_branch_that_no_derivation_can_follow_is_shown_where_it_is(file):
    text = userfile.EXAMPLE.replace("    return np.square", "    if x.sum() > 0: y = 2 * y\n    return np.square")
    code, out, err = file("derive", text)
    assert (code, out) == (2, "")
    assert re.findall(r'File "(.*)", line (\d+)', err) == [("mine.py", "7")]
    assert "x.sum() > 0" in err
    assert "the truth value of a traced array" in err


def test_only_one_form_at_a_time(capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["derive", "mine.py", "--latex", "--numpy"])
    assert "not allowed with" in capsys.readouterr().err


def test_the_derivation_as_numpy_runs_by_itself(capsys):
    assert main(["derive", str(EXAMPLES / "my_derivation.py"), "--numpy"]) == 0
    program, example = {}, {}
    exec(capsys.readouterr().out, program)
    exec((EXAMPLES / "my_derivation.py").read_text(), example)
    arguments = [example[name] for name in ("params", "x", "y")]
    loss, gradients = program["gradients"](*arguments)
    assert loss == pytest.approx(example["loss"](*arguments), rel=1e-14)
    for name, g in example["hand_gradients"](*arguments).items():
        assert gradients[name].shape == g.shape
        assert gradients[name].dtype == np.float64
        np.testing.assert_allclose(gradients[name], g, rtol=1e-12, atol=1e-14)


def test_a_terminal_without_greek_letters_gets_the_text_all_the_same():
    done = subprocess.run(
        [sys.executable, "-m", "tinygrad_mb", "derive", EXAMPLES / "my_derivation.py", "--numpy"],
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(EXAMPLES.parents[1])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "over the m examples" in done.stdout


def test_the_page_about_the_command_line_shows_its_output(tmp_path, monkeypatch, capsys):
    page = (EXAMPLES.parent / "command_line.md").read_text(encoding="utf-8")
    for path in EXAMPLES.glob("my_derivation*.py"):
        shutil.copy(path, tmp_path)
    right = (EXAMPLES / "my_derivation.py").read_text()
    (tmp_path / "my_typo.py").write_text(right.replace("axis=1).mean()", "axis=2).mean()"))
    monkeypatch.chdir(tmp_path)
    shown = dict(re.findall(r"```text\n\$ tinygrad-mb (.*)\n((?:.*\n)*?)```", page))
    printed = {}
    for command in shown:
        main(command.split())
        printed[command] = "".join(capsys.readouterr())

    def comparable(text):  # the last digits are the processor's own, and each Python underlines in its own way
        return [re.sub(r"\d\.\de-\d\d", "#", line) for line in text.splitlines() if line.strip(" ^~")]

    for command in ("check my_derivation.py", "check my_derivation_wrong.py", "check my_typo.py"):
        assert comparable(shown[command]) == comparable(printed[command]), command
    formulas = [re.findall(r"^  (\S+) +=", text["derive my_derivation.py"], re.MULTILINE) for text in (shown, printed)]
    assert formulas[0] == formulas[1]
    assert {"L", "δf", "∂L/∂W1"} <= set(formulas[0])
    programs = [{}, {}]
    for program, text in zip(programs, (shown, printed), strict=True):
        exec(text["derive my_derivation.py --numpy"], program)
        exec(right, program)
        loss, gradients = program["gradients"](program["params"], program["x"], program["y"])
        expected = program["hand_gradients"](program["params"], program["x"], program["y"])
        for name, g in expected.items():
            np.testing.assert_allclose(gradients[name], g, rtol=1e-12, atol=1e-14)
        assert loss == pytest.approx(program["loss"](program["params"], program["x"], program["y"]), rel=1e-14)


# -------------------------------------------------------------------------------------------- the demo


def test_json_is_one_object_with_all_figures(demo):
    code, out, err = demo("--json", "--seed", "3")
    figures = json.loads(out)
    assert out.count("\n") == 1
    assert (code, err) == (0, "")
    assert figures["passed"] is True
    assert figures["seed"] == 3
    assert figures["accuracy"] >= 0.97
    assert figures["data"]["synthetic"] is not HAS_SKLEARN
    assert figures["training"]["steps"] == 30 * -(-figures["data"]["train"] // 32)
    assert list(figures["identity"]) == KEYS
    assert all(row["passed"] for row in figures["identity"].values())
    assert figures["identity"]["one_by_one"]["error"] < 1e-12
    assert figures["identity"]["by_hand"]["error"] < 1e-12
    assert figures["identity"]["central_differences"]["error"] < 1e-6
    assert figures["identity"]["averaged_first"]["error"] > 0.5


def test_the_picture_is_where_the_demo_says(demo, tmp_path):
    _, out, _ = demo("--json")
    picture = tmp_path / "out" / ("loss.svg" if HAS_LAYOUT else "loss.dot")
    told = json.loads(out)
    assert told["picture"] == str(picture)
    assert told["page"] == (str(tmp_path / "out" / "loss.html") if HAS_LAYOUT else None)
    assert not HAS_LAYOUT or Path(told["page"]).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert "losses" in picture.read_text(encoding="utf-8")
    assert "no backward yet" not in picture.read_text(encoding="utf-8")


def test_a_seed_decides_all_figures(demo):
    def figures(seed):
        found = json.loads(demo("--json", "--seed", seed)[1])
        return found["accuracy"], found["training"]["loss"], found["identity"]

    assert figures("1") == figures("1")
    assert figures("1") != figures("2")


def test_the_table_is_for_people(demo):
    code, out, err = demo()
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert sum("agrees" in line for line in lines) == 3
    wrong = [line for line in lines if "WRONG" in line]
    assert len(wrong) == 1
    assert "wrong by" in wrong[0]
    assert any("max |a - b| / max |b|" in line for line in lines)
    assert any(line.startswith("accuracy") for line in lines)
    assert all(len(line) < 120 for line in lines if not line.startswith(("picture", "page")))
    assert out.isascii()


def test_quiet_prints_results_only(demo):
    code, out, err = demo("--quiet")
    assert (code, err) == (0, "")
    lines = [line for line in out.splitlines() if "scikit-learn" not in line and "pip install" not in line]
    assert len(lines) == 7 if HAS_LAYOUT else 6
    assert lines[0].startswith("accuracy")
    assert lines[5].startswith("picture")


def test_without_scikit_learn_a_synthetic_set_is_announced(demo, no_sklearn):
    code, out, _ = demo("--quiet")
    assert code == 0
    assert out.startswith("NOT the handwritten digits: scikit-learn is missing")
    assert 'pip install "tinygrad_mb[demo]"' in out
    figures = json.loads(demo("--json")[1])
    assert figures["data"]["synthetic"] is True
    assert 0.97 <= figures["accuracy"] < 1


def test_the_bar_is_tqdm_s_where_it_is_installed(monkeypatch, capsys):
    monkeypatch.setattr(training, "EPOCHS", 1)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert list(training._progress(range(3), True)) == [0, 1, 2]
    monkeypatch.undo()
    if importlib.util.find_spec("tqdm"):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        assert list(training._progress(range(3), True)) == [0, 1, 2]
        out, err = capsys.readouterr()
        assert not out
        assert "training" in err
        assert "3/3" in err
    assert list(training._progress(range(3), False)) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_without_a_layout_program_the_dot_text_is_kept(demo, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(shutil, "which", lambda *_: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "pygraphviz" else find(name, *a))
    code, out, _ = demo("--quiet")
    assert code == 0
    assert (tmp_path / "out" / "loss.dot").read_text(encoding="utf-8").startswith("digraph")
    assert 'pip install "tinygrad_mb[draw]"' in out


# --------------------------------------------------------------------------- a check that fails says so


@pytest.mark.parametrize("way", ["one_by_one", "by_hand"])
def test_a_slightly_wrong_way_fails(demo, monkeypatch, way):
    right = getattr(identity, way)
    monkeypatch.setattr(identity, way, lambda *a: [g * (1 + 1e-9) for g in right(*a)])
    code, out, err = demo()
    assert code == 1
    assert "DISAGREES" in out
    assert f"FAILED    {way}" in err


def test_a_wrong_engine_fails_every_right_row(demo, monkeypatch):
    right = identity.backward
    monkeypatch.setattr(identity, "backward", lambda *a: [g * 32 for g in right(*a)])  # summed, not averaged
    code, out, err = demo("--json")
    assert code == 1
    figures = json.loads(out)
    assert figures["passed"] is False
    assert [figures["identity"][key]["passed"] for key in KEYS] == [False, False, False, True]
    assert err.count("FAILED") == 3


def test_a_low_accuracy_fails(demo, monkeypatch):
    monkeypatch.setattr(training, "EPOCHS", 0)
    code, _, err = demo("--quiet")
    assert code == 1
    assert "is less than 0.97" in err


# ------------------------------------------------------------------------------------- the four ways


@pytest.fixture
def batch():
    rng = np.random.default_rng(5)
    return training.new_model(0), rng.normal(size=(7, 64)), rng.integers(0, 10, 7)


def test_right_ways_agree_and_have_the_parameters_shapes_and_dtype(batch):
    model, x, y = batch
    parameters = [t.data for t in model.parameters()]
    right = identity.backward(model, x, y)
    for way in (identity.one_by_one(model, x, y), identity.by_hand(parameters, x, y)):
        assert [(g.shape, g.dtype) for g in way] == [(p.shape, np.float64) for p in parameters]
        for g, b in zip(way, right, strict=True):
            np.testing.assert_allclose(g, b, rtol=1e-10, atol=1e-14)


def test_averaging_first_gets_only_the_last_bias_right(batch):
    model, x, y = batch
    parameters = [t.data for t in model.parameters()]
    right = identity.backward(model, x, y)
    wrong = identity.averaged_first(parameters, x, y)
    errors = [identity.largest_error([a], [b], [b]) for a, b in zip(wrong, right, strict=True)]
    assert min(errors[:3]) > 0.1
    assert errors[3] < 1e-12


def test_averaging_first_is_right_when_all_examples_are_the_same(batch):
    model, x, y = batch
    x, y = np.repeat(x[:1], 5, axis=0), np.repeat(y[:1], 5)
    right = identity.backward(model, x, y)
    assert identity.largest_error(
        identity.averaged_first([t.data for t in model.parameters()], x, y), right, right
    ) < 1e-12  # fmt: skip


def test_central_differences_leave_out_kinks(batch):
    model, x, y = batch
    parameters = [t.data for t in model.parameters()]
    x[0] = 0.0  # with a bias of 0, every relu of this example is at its kink
    _, _, kinks = identity.central_differences(parameters, x, y, np.random.default_rng(0))
    assert kinks == identity.SAMPLE  # all entries of the first bias, and no others
    before = [p.copy() for p in parameters]
    x[0] = 1.0
    places, slopes, kinks = identity.central_differences(parameters, x, y, np.random.default_rng(0))
    assert kinks == 0
    assert [len(p) for p in places] == [len(s) for s in slopes] == [100, 100, 100, 10]
    for p, q in zip(parameters, before, strict=True):
        np.testing.assert_array_equal(p, q)


def test_a_nan_is_never_within_the_tolerance():
    nan, one = [np.array([np.nan, 1.0])], [np.ones(2)]
    error = identity.largest_error([*one, *nan], [*one, *one], [*one, *one])
    assert not identity.Row("key", "text", error, 1e-3).passed
    assert not identity.Row("key", "text", float("nan"), None).passed


def test_the_test_set_is_disjoint_stratified_and_standardised_with_the_training_set_only():
    found = data.load()
    train, test = {x.tobytes() for x in found.x_train}, {x.tobytes() for x in found.x_test}
    assert not train & test
    shares = np.bincount(found.y_test) / np.bincount(np.concatenate([found.y_train, found.y_test]))
    assert abs(shares - 0.25).max() < 0.01
    assert abs(found.x_train.mean(axis=0)).max() < 1e-12
    np.testing.assert_allclose(found.x_train.std() ** 2, (found.x_train**2).mean(), rtol=1e-12)
    assert found.x_train.dtype == found.x_test.dtype == np.float64
    assert len(set(found.y_test[:32])) > 5  # the batch that is looked at is a mixed one
