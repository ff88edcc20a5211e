"""Messages about the token and the role of an open socket: type 64, beside the y-protocols.

Owns: their bytes. Does not own: when they are sent (`sessions.py`), what a renewal does (`desk.py`). Pure.
Only sockets with the subprotocol `kanvas` have them (rules I6, G6).

    server -> client   64 0 seconds       the token ends in so many seconds
                       64 1 seconds       renewed; the new one ends in so many
                       64 2 text          not renewed, in words; the old token goes on counting
                       64 3 role          your role in this room, after joining and when it changes (G6)
    client -> server   64 0 text          a fresh token for this socket
"""

from typing import Final

from party.errors import BadFrame
from party.ports import Role
from party.wire import Reader, encode_buffer, encode_uint

SIGNAL: Final = 64
SIGNAL_BYTE: Final = bytes((SIGNAL,))
ENDING: Final = 0
RENEWED: Final = 1
REFUSED: Final = 2
ROLE: Final = 3
TOKEN: Final = 0


def encode_ending(seconds: int) -> bytes:
    return bytes((SIGNAL, ENDING)) + encode_uint(max(0, seconds))


def encode_renewed(seconds: int) -> bytes:
    return bytes((SIGNAL, RENEWED)) + encode_uint(max(0, seconds))


def encode_refused(words: str) -> bytes:
    return bytes((SIGNAL, REFUSED)) + encode_buffer(words.encode())


def encode_role(role: Role) -> bytes:
    return bytes((SIGNAL, ROLE)) + encode_buffer(role.encode())


def encode_token(token: str) -> bytes:
    return bytes((SIGNAL, TOKEN)) + encode_buffer(token.encode())


def decode_token(message: bytes) -> str:
    """The fresh token in a client's message. Raises BadFrame."""
    reader = Reader(message)
    if reader.uint() != SIGNAL or reader.uint() != TOKEN:
        raise BadFrame("There is no such message about the token; send 64, 0 and the token.")
    token = reader.text()
    reader.finish()
    return token
