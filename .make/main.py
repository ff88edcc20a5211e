"""The commands behind the Makefile: run, setup, test, lint, format, lock.

Owns: which steps a command has, and its exit code. Started by .make/start with a Python 3.11 to 3.13.
Not: the steps themselves (packages, client, browser, suite, locks). Standard library only.
"""

import os
import sys
from collections.abc import Callable

import balancers
import browser
import client
import locks
import packages
import suite
import tracer
from report import ROOT, STATE, Failed, end_children_with_us, say, unbent
from stamps import alone


def setup() -> int:
    """Install what is missing, build the client."""
    install()
    say(f"Ready. Kanvas is in {ROOT}; type:  make run")
    return 0


def install() -> None:
    with alone():
        packages.install_runtime()
        client.build_client()


def serve() -> int:
    """Install what is missing, then become `kanvas serve`, which migrates first."""
    install()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kanvas = packages.VENV / "bin" / "kanvas"
    os.execve(packages.PYTHON, [str(packages.PYTHON), str(kanvas), "serve"], unbent())


def test() -> int:
    """Install what the tests need, then run all of it."""
    with alone():
        packages.install_runtime()
        packages.install_tests()
        client.build_client()
        node = client.node_environment()
        chromium = browser.find_chromium()
        strace = tracer.find_strace()
        found = balancers.find_balancers()
    return suite.run_all(suite.environment_of_tests(node, chromium, strace, found))


def lint() -> int:
    """The checks that run no server and no browser."""
    return suite.run_checks(with_tools(), suite.LINT)


def tidy() -> int:
    """Put the Python code in shape."""
    return suite.run_checks(with_tools(), suite.FORMAT)


def with_tools() -> dict[str, str]:
    with alone():
        packages.install_runtime()
        packages.install_tests()
        client.install_modules()
        return suite.environment_of_tests(client.node_environment(), None)


def lock() -> int:
    """Resolve the lock files again."""
    with alone():
        return locks.lock()


COMMANDS: dict[str, Callable[[], int]] = {
    "run": serve,
    "setup": setup,
    "test": test,
    "lint": lint,
    "format": tidy,
    "lock": lock,
}


def main(arguments: list[str]) -> int:
    name = arguments[0] if arguments else "run"
    if name not in COMMANDS or len(arguments) > 1:
        sys.stderr.write(f"Commands: {', '.join(COMMANDS)}. They take no arguments.\n")
        return 2
    os.chdir(ROOT)
    STATE.mkdir(parents=True, exist_ok=True)
    end_children_with_us()
    try:
        return COMMANDS[name]()
    except Failed as failure:
        sys.stdout.flush()
        sys.stderr.write(f"\n{failure.text}\n\n{failure.remedy}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"\nStopped. make {name} goes on from here.\n")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
