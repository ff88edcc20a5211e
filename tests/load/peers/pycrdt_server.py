"""pycrdt-websocket in memory, under the same uvicorn, uvloop and httptools that ours uses.

Runs in an environment of its own (see requirements.in), with the port as its argument.
"""

import asyncio
import sys

import uvicorn
import uvloop
from pycrdt.websocket import ASGIServer, WebsocketServer


async def main(port: int) -> None:
    async with WebsocketServer() as rooms:
        config = uvicorn.Config(
            ASGIServer(rooms), host="127.0.0.1", port=port, log_level="warning", ws_max_size=64 * 2**20
        )
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
