"""party/SPEC.md and the tests: every rule is quoted by a test, and no test quotes a rule that is not there.

A quote is a rule's number in the docstring of a test (function or class), in a comment of a test file, or
in the name of a client test: `W1`, `D3`.
"""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.conventions.tree import ROOT, our_files, shown

SPEC = ROOT / "party" / "SPEC.md"
RULE = re.compile(r"^- \*\*([A-Z]\d{1,2})\.\*\*", re.MULTILINE)
LINTER = re.compile(r"#\s*(noqa|type:|ruff:).*")
CLIENT_QUOTES = re.compile(
    r"""^\s*(?://|\*|/\*)(.*)$|\b(?:it|test|describe)(?:\.each\(.*\))?\(\s*["'`](.*)$""", re.MULTILINE
)


def rules() -> list[str]:
    return RULE.findall(SPEC.read_text(encoding="utf-8"))


@cache
def quotes() -> dict[str, set[str]]:
    """Rule number to the test files that quote it; only letters that the SPEC uses."""
    letters = "".join(sorted({rule[0] for rule in rules()}))
    number = re.compile(rf"(?<![\w/.-])([{letters}][1-9]\d?)(?![\w/-])")
    found: dict[str, set[str]] = {}
    for path, text in quoting_texts():
        for rule in number.findall(text):
            found.setdefault(rule, set()).add(shown(path))
    return found


def quoting_texts() -> Iterator[tuple[Path, str]]:
    here = Path(__file__).resolve().parent
    for path in our_files(".py", below="tests"):
        if path.parent != here:
            yield from ((path, text) for text in python_quotes(path.read_text(encoding="utf-8")))
    client = [path for path in our_files(".ts", ".tsx") if ".test." in path.name]
    for path in [*client, *our_files(".mjs", ".js", below="tests")]:
        for comment, name in CLIENT_QUOTES.findall(path.read_text(encoding="utf-8")):
            yield path, comment + name


def python_quotes(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield ast.get_docstring(node) or ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield LINTER.sub("", token.string)


def test_rules_are_numbered_once_and_without_gaps() -> None:
    found = rules()
    assert found, "party/SPEC.md has no line like '- **W1.** ...'"
    assert [rule for rule, times in Counter(found).items() if times > 1] == []
    last = {
        letter: max(int(rule[1:]) for rule in found if rule[0] == letter) for letter in {r[0] for r in found}
    }
    assert [
        f"{letter}{n}"
        for letter, top in sorted(last.items())
        for n in range(1, top + 1)
        if f"{letter}{n}" not in found
    ] == []


def test_every_rule_is_quoted_by_a_test() -> None:
    quoted = quotes()
    assert [rule for rule in rules() if rule not in quoted] == []


def test_no_test_quotes_an_unknown_rule() -> None:
    known = set(rules())
    assert {rule: sorted(files) for rule, files in quotes().items() if rule not in known} == {}
