"""The locks: names, versions and hashes, no addresses; and they fit what the projects ask for."""

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conventions.tree import CLIENT_LOCKS, PYTHON_LOCKS, ROOT

PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")
LINK = re.compile(r"[a-z+]+://\S+")


def pins(name: str) -> dict[str, str]:
    """Package name to version, from a Python lock."""
    found: dict[str, str] = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if pin := PIN.fullmatch(line):
            found[canonicalize_name(pin["name"])] = pin["version"]
    return found


@pytest.mark.parametrize("name", PYTHON_LOCKS)
def test_a_python_lock_is_names_versions_and_hashes_and_nothing_else(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not PIN.fullmatch(line) and not HASH.fullmatch(line)] == []
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if pin := PIN.fullmatch(line):
            assert HASH.fullmatch(after), f"{pin['name']} has no hash"
            if pin["marker"]:
                Marker(pin["marker"])


@pytest.mark.parametrize("name", CLIENT_LOCKS)
def test_a_client_lock_names_no_registry(name: str) -> None:
    """Links to funding pages come with the packages' metadata; nothing is downloaded from them."""
    lock = json.loads((ROOT / name).read_text(encoding="utf-8"))
    assert [
        (place, text) for place, text in texts(lock) if LINK.search(text) and "funding" not in place
    ] == []
    packages = {name: entry for name, entry in lock["packages"].items() if name and not entry.get("link")}
    assert packages
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
    assert [
        name for name, entry in packages.items() if not entry.get("integrity", "").startswith("sha512-")
    ] == []


@pytest.mark.parametrize("name", CLIENT_LOCKS)
def test_a_client_lock_fits_package_json(name: str) -> None:
    root = json.loads((ROOT / name).read_text(encoding="utf-8"))["packages"][""]
    asked = json.loads((ROOT / name).with_name("package.json").read_text(encoding="utf-8"))
    for kind in ("dependencies", "devDependencies"):
        assert root.get(kind, {}) == asked.get(kind, {})


def test_the_locks_fit_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runtime = project["project"]["dependencies"] + project["dependency-groups"]["build"]
    assert unmet(runtime, pins("requirements.lock")) == []
    tests = runtime + project["project"]["optional-dependencies"]["test"]
    assert unmet(tests, pins("requirements-test.lock")) == []
    extras = pins("requirements-extras.lock")
    for name, asked in project["project"]["optional-dependencies"].items():
        assert name == "test" or unmet(asked, extras) == []
    assert unmet(project["dependency-groups"]["node"], pins("requirements-node.lock")) == []
    assert unmet(project["build-system"]["requires"], pins("requirements.lock")) == []


def test_the_tests_run_with_the_versions_that_are_served() -> None:
    runtime, tests = pins("requirements.lock"), pins("requirements-test.lock")
    assert {name: version for name, version in runtime.items() if tests.get(name) != version} == {}


def unmet(asked: list[str], locked: dict[str, str]) -> list[str]:
    """What is asked for and not in the lock in a version that fits."""
    wanted = [Requirement(line) for line in asked]
    return [
        str(one)
        for one in wanted
        if not one.specifier.contains(locked.get(canonicalize_name(one.name), "0.dev0"), prereleases=True)
    ]


def texts(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text in a JSON value with the keys that lead to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(inner, (*place, key))
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, place)
    elif isinstance(value, str):
        yield place, value
