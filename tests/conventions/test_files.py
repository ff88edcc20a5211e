"""House rules that a reader can check by looking at the files alone."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conventions.tree import ROOT, our_files, shown

MOST_LINES = 600
CODE = (".py", ".ts", ".tsx", ".js", ".mjs", ".css")
TEXT = (*CODE, ".html", ".md", ".toml", ".json", ".mako", ".sh")
# Written in two parts, so that this file passes its own test.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
SKIPPED_PYTHON = re.compile(r"pytest\.(mark\.(skip|skipif|xfail)|skip|xfail|import" r"orskip)\b")
SKIPPED_CLIENT = re.compile(r"\b(it|test|describe)\.(skip|only|todo|fails)\b")


def test_no_file_is_too_long() -> None:
    lengths = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in our_files(*CODE)}
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_nothing_is_left_unfinished() -> None:
    found = [place for path in our_files(*TEXT) for place in places(path, UNFINISHED)]
    assert found == []


def test_no_test_is_skipped() -> None:
    python = [place for path in our_files(".py", below="tests") for place in places(path, SKIPPED_PYTHON)]
    client = [place for path in our_files(".ts", ".tsx", ".mjs") for place in places(path, SKIPPED_CLIENT)]
    assert python + client == []


def test_alembic_does_not_shadow_the_library() -> None:
    """A package called alembic at the top would be imported in place of the library."""
    assert (ROOT / "alembic" / "env.py").is_file()
    assert not (ROOT / "alembic" / "__init__.py").exists()


def test_every_folder_of_tests_is_a_package() -> None:
    """Without `__init__.py`, tests/party would be imported as party."""
    folders = {path.parent for path in our_files(".py", below="tests")}
    assert [shown(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_every_module_says_what_it_owns() -> None:
    """A module that holds code begins with a docstring."""
    silent = [
        shown(path)
        for path in our_files(".py")
        if path.name != "__init__.py"
        and not path.read_text(encoding="utf-8").lstrip().startswith(('"""', 'r"""'))
    ]
    assert silent == []


def test_the_top_level_is_the_one_that_was_designed() -> None:
    folders = {"server", "party", "db", "alembic", "tests", "static"}
    files = {"pyproject.toml", "README.md", "Makefile", "LICENSE"}
    made = {"dist", "build", "test-results"}  # by our own commands; ignored by git
    names = {path.name for path in ROOT.iterdir() if not path.name.startswith(".") and path.suffix != ".lock"}
    assert names - made == folders | files


def test_ci_runs_exactly_make_test() -> None:
    script = ROOT / ".ci" / "run"
    lines = [
        line for line in script.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")
    ]
    assert os.access(script, os.X_OK)
    assert lines[-1] == "exec make test"
    assert all(line.startswith(("set ", "cd ", "exec make test")) for line in lines)


def test_the_import_contracts_hold() -> None:
    """The three floors: server on db on party, party on the standard library and pycrdt alone."""
    program = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run(
        [str(program), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def places(path: Path, pattern: re.Pattern[str]) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        f"{shown(path)}:{number}: {line.strip()}"
        for number, line in enumerate(lines, 1)
        if pattern.search(line)
    ]
