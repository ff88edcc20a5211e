# Kanvas. Two commands matter: `make run` and `make test`. The work is done by .make/ (sh, then Python).
# On the command line: PYTHON=python3.12 picks the Python, ARGS="-k rooms" goes to pytest,
# COMPILE=1 allows packages without a ready-made wheel, UPGRADE=1 lets `make lock` take newer versions.

.DEFAULT_GOAL := help
.SILENT:
.PHONY: help run setup test lint format lock clean

help:
	echo "make run      install what is missing, build the client, serve on http://127.0.0.1:8000"
	echo "make test     lint, types, import contracts, unit, live-server and browser tests"
	echo "make setup    the install part of make run alone"
	echo "make lint     the checks that run no server        make format   put the code in shape"
	echo "make lock     resolve the lock files again         make clean    remove all that was installed or built"

run setup test lint format lock:
	sh .make/start $@

clean:
	rm -rf .venv .make/state static/node_modules static/dist static/*.tsbuildinfo dist build
	rm -rf tests/load/peers/node_modules tests/load/peers/.venv
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis .import_linter_cache test-results
	echo "Removed what was installed and built. Rooms and their data are untouched."
