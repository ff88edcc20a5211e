"""The README tells the settings as they are: one row for each, word for word."""

from server.settings import settings_table
from tests.conventions.tree import ROOT

HEAD = ("| setting | type | default | meaning |", "|---|---|---|---|")


def expected() -> list[str]:
    """The table as Markdown, from the settings themselves."""
    rows = [
        f"| `{row.name}` | {row.type} | {f'`{row.default}`' if row.default else ''} | {row.help} |"
        for row in settings_table()
    ]
    return [*HEAD, *rows]


def test_the_settings_table_of_the_readme_is_the_one_of_the_program() -> None:
    lines = [" ".join(line.split()) for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()]
    table = [" ".join(line.split()) for line in expected()]
    begin = lines.index(table[0]) if table[0] in lines else len(lines)
    shown = lines[begin : begin + len(table)]
    assert shown == table, "The README must hold exactly this table:\n" + "\n".join(expected())
    after = lines[begin + len(table) : begin + len(table) + 1]
    assert not any(line.startswith("|") for line in after), f"A row too many: {after}"
