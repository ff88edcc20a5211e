"""Free loopback ports for servers that tests start. Another process may take one meanwhile: start twice."""

import socket


def free_ports(count: int) -> list[int]:
    """So many different ports that nobody listens on now."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
