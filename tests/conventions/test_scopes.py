"""Who asks the database says whose eyes he has (V3): in the code, before it is found out when it runs."""

import re

from tests.conventions.tree import our_files, shown

RAW = re.compile(r"\bservices\.database\.(?:read|write)\b")


def test_no_route_or_job_asks_as_nobody() -> None:
    """V3: `services.database` is nobody's; `call.database` is whose request it is."""
    found = [
        f"{shown(path)}: {one.group()}"
        for path in our_files(".py")
        if shown(path).startswith("server/")
        for one in RAW.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
