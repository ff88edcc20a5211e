"""How to call every operation of the API, so that nothing but who asks decides the answer.

Owns: the bodies and ids that addresses alone don't tell, and which action of the policy an operation of a
room is. An operation that is in none of these tables and needs to be fails the walk: say here how to call it.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from party.policy import Action
from server.registry import Operation
from tests.server.assets.pictures import png
from tests.server.tenants.world import CANARY, World

PICTURE: Final = png(color="#806020")
NO_TOKEN: Final = "x" * 43

ACTIONS: Final[Mapping[str, Action]] = {
    "read_room": "see",
    "change_room": "rename",
    "delete_room": "delete",
    "restore_room": "delete",
    "list_participants": "see",
    "list_room_members": "see",
    "change_member": "share",
    "remove_room_member": "share",
    "transfer_room": "transfer",
    "invite": "share",
    "list_room_invitations": "share",
    "withdraw_invitation": "share",
    "make_link": "share",
    "list_room_links": "share",
    "revoke_room_link": "share",
    "export_document": "see",
    "announce_asset": "edit",
    "sign_parts": "edit",
    "complete_upload": "edit",
    "cancel_upload": "edit",
    "put_asset": "edit",
    "import_asset": "edit",
    "list_room_assets": "see",
    "read_room_asset": "see",
    "list_room_audit": "audit",
    "export_room_audit": "audit",
    "list_comments": "see",
    "create_thread": "comment",
    "create_reply": "comment",
    "change_thread": "comment",
    "delete_thread": "moderate",
    "change_comment": "moderate",
    "delete_comment": "moderate",
    "read_thread": "see",
    "find_people_to_mention": "comment",
    "read_state": "see",
    "read_base": "see",
    "apply_update": "edit",
}
"""Operations on one room to what they are in party/policy.py."""

OF_THE_UPLOADER: Final = frozenset({"list_parts"})
"""Of an upload nobody else learns anything, whatever they may do in its room."""

OF_ONE_PERSON: Final = frozenset(
    {
        "end_my_session",
        "revoke_personal_token",
        "read_presence",
        "accept_invitation",
        "decline_invitation",
        "read_asset",
        "read_metadata",
        "get_job",
    }
)
"""With an id of somebody else's they are 404, whoever asks."""

BODIES: Final[Mapping[str, Any]] = {
    "sign_in_guest": {"name": "Gus"},
    "rename_me": {"name": "Eve"},
    "make_personal_token": {"name": "x", "scopes": ["rooms:read"]},
    "ask_link": {"email": "eve@example.org"},
    "confirm_link": {"token": NO_TOKEN},
    "create_room": {},
    "change_room": {"title": "Mine now"},
    "change_member": {"role": "viewer"},
    "transfer_room": {"user_id": "editor-1"},
    "invite": {"user_id": "eve", "role": "editor"},
    "look_at_invitation": {"token": NO_TOKEN},
    "accept_mailed_invitation": {"token": NO_TOKEN},
    "make_link": {"role": "editor"},
    "look_at_link": {"token": NO_TOKEN},
    "redeem_link": {"token": NO_TOKEN},
    "announce_asset": {
        "filename": "a.png",
        "content_type": "image/png",
        "size": len(PICTURE),
        "sha256": hashlib.sha256(PICTURE).hexdigest(),
    },
    "sign_parts": {"numbers": [1]},
    "import_asset": {"url": "https://example.org/a.png"},
    "create_thread": {"x": 0, "y": 0, "body": "Hello"},
    "create_reply": {"body": "Hello"},
    "change_thread": {"resolved": True},
    "change_comment": {"body": "Changed"},
    "kick": {"user_id": "editor-1"},
    "close_room": {},
    "sweep_now": {"dry_run": True},
}

IDS: Final[Mapping[str, Mapping[str, str]]] = {
    "put_asset": {"asset_id": hashlib.sha256(PICTURE).hexdigest()},
    "list_parts": {"asset_id": "upload_id"},
    "sign_parts": {"asset_id": "upload_id"},
    "complete_upload": {"asset_id": "upload_id"},
    "cancel_upload": {"asset_id": "upload_id"},
}
"""Where an address's id is not what its name says: the name it goes by in the world, or the id itself."""

GENERAL: Final = {
    "node": "nobody",
    "hold_id": "0" * 32,
    "slot": "0",
    "name": "docs.css",
    "key": "files/none",
}

QUERIES: Final[Mapping[str, str]] = {
    "export_document": "root=map&type=map",
    "list_rooms": f"scope=mine&q={CANARY}",
    "find_people_to_mention": f"q={CANARY}",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be sent by anybody."""

    method: str
    path: str
    headers: Mapping[str, str]
    more: Mapping[str, Any]


def request_of(operation: Operation, world: World) -> Request:
    """The request that asks for the tenant's own. Raises KeyError, with what is missing here."""
    own = {name: world.ids.get(value, value) for name, value in IDS.get(operation.name, {}).items()}

    def fill(match: "re.Match[str]") -> str:
        name = match[1].partition(":")[0]
        for known in (own, world.ids, GENERAL):
            if name in known:
                return known[name]
        raise KeyError(f"{operation.name}: no id for {{{name}}} in tests/server/tenants")

    path = re.sub(r"\{([^}]*)\}", fill, operation.path)
    if operation.name in QUERIES:
        path += "?" + QUERIES[operation.name]
    if operation.name == "read_thread":
        return Request(operation.method, path, {}, {"json": {"comment_id": world.ids["comment_id"]}})
    if operation.body_model is not None:
        if operation.name not in BODIES:
            raise KeyError(f"{operation.name}: no body in tests/server/tenants/calls.py")
        return Request(operation.method, path, {}, {"json": BODIES[operation.name]})
    if operation.raw is not None:
        kind = "image/png" if operation.name == "put_asset" else "application/octet-stream"
        content = PICTURE if operation.name == "put_asset" else b"\x00\x00"
        return Request(operation.method, path, {"Content-Type": kind}, {"content": content})
    return Request(operation.method, path, {}, {})


def action_of(operation: Operation) -> Action | None:
    """What it is in a room; None when it is not about one. Raises KeyError for one nobody thought of."""
    if "{room_id}" not in operation.path or operation.tag == "admin" or operation.name in OF_THE_UPLOADER:
        return None
    if operation.name not in ACTIONS:
        raise KeyError(f"{operation.name}: no action in tests/server/tenants/calls.py")
    return ACTIONS[operation.name]
