"""The entry point: `kanvas`, and `python -m server`.

Owns: that `kanvas serve` is supervised before anything is imported that takes memory or time. Does not own:
commands and their words (cli.py), which say the same without it.
Rule: a server starts with the garbage collector off, which would go through all that is imported again and
again, a fifth of the start; it is on when the server listens (serve.py).
"""

import gc
import os
import sys
from typing import NoReturn

from server import supervisor


def main() -> NoReturn:
    """Serve under supervision, or do any other command."""
    # whatever else the setting says is told by who reads the settings, in the worker
    is_off = os.environ.get("KANVAS_SUPERVISOR", "").strip().lower() == "off"
    is_serve = sys.argv[1:2] == ["serve"] and "--help" not in sys.argv
    if is_serve and not is_off and supervisor.is_possible():
        supervisor.supervise()
    if is_serve:
        gc.disable()
    from server.cli import main as command  # noqa: PLC0415

    command()


if __name__ == "__main__":
    main()
