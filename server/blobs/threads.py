"""Blocking work in a thread, waited for to its end even by who is cancelled.

Owns: that one rule. asyncio.to_thread forgets its thread on cancellation: the thread would still write to a
file that is being closed, or give a name to one that is being removed.
"""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Made = TypeVar("Made")


async def in_thread(work: Callable[Given, Made], *args: Given.args, **kwargs: Given.kwargs) -> Made:
    """What `work` returns or raises. Cancelled, it waits for the thread first; the result is lost then."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                # asked twice: the thread can't be stopped all the same, and it ends soon
                continue
        if not task.cancelled():
            task.exception()
        raise
