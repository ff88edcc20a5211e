"""`kanvas serve` with several workers on the embedded parts: `python -m tests.live.crewed serve --workers 3`.

What connects the workers of one service is not in it: this is for tests of the port, the supervisor and the
workers' lives. Edits marked as in poisoned.py end a worker.
"""

import os

from server.__main__ import main


def be_a_worker() -> None:
    """In the fork, so that the supervisor is as small as it is."""
    import server.workers
    from party.document import Document
    from tests.live.poisoned import poisoned_apply

    # the refusal is tested where it is not left out
    server.workers.find_problems = lambda *_, **__: []
    Document.apply = poisoned_apply  # type: ignore[method-assign]


if __name__ == "__main__":
    os.register_at_fork(after_in_child=be_a_worker)
    main()
