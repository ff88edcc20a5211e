"""Tests of db/, file by file. The contract suite is no test module, so its asserts are registered here."""

import pytest

pytest.register_assert_rewrite("tests.db.journal_contract")
