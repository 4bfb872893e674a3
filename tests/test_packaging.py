"""What is installed, and what README.md promises about it."""

import importlib
import re
import tomllib
from pathlib import Path

import tinygrad_mb

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)


def test_readme_has_two_commands_of_one_line_each():
    demo, test = COMMANDS
    for command in demo, test:
        assert command.count("\n") == 1
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
        extra = re.search(r"'\.\[(\w+)\]'", command)
        assert extra is not None
        assert extra[1] in PROJECT["optional-dependencies"]
    assert demo.endswith("&& .venv/bin/tinygrad-mb demo\n")
    assert "&& .venv/bin/pytest" in test


def test_the_command_line_program_exists():
    module, _, function = PROJECT["scripts"]["tinygrad-mb"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_the_newest_version_in_the_changelog_is_the_package_s():
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert versions[0] == tinygrad_mb.__version__


def test_the_package_says_that_it_is_typed():
    assert (Path(tinygrad_mb.__file__).parent / "py.typed").exists()
