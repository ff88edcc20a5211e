"""What the claims of a provider mean here: who somebody is, what to call them, whether they are an operator.

Owns: the user id of an outside identity, names, the claim that makes an operator. Pure.
Does not own: whether the claims are true (`signed.py`). Keeps rules I3, I4.
"""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import PydanticCustomError

from server.auth import BY_PROVIDER, Identity
from server.text import check_line

NAME_CHARS: Final = 64
SOMEBODY: Final = "Somebody"
MAX_PLAN_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class AdminClaim:
    """The claim and its value that make an operator, such as `realm_access.roles=kanvas-admin`."""

    path: str
    value: str

    def is_told(self, claims: Mapping[str, Any]) -> bool:
        """Whether the claim is there at all."""
        return _look_up(claims, self.path) is not None

    def is_in(self, claims: Mapping[str, Any]) -> bool:
        """Whether the claim is the value, or a list that has it; `true` is also the JSON value."""
        told = _look_up(claims, self.path)
        given = told if isinstance(told, list) else [told]
        return any(one == self.value or (one is True and self.value == "true") for one in given)


def _look_up(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name, which may hold dots (`https://example.org/roles`), else by its path."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def user_id_of(issuer: str, subject: str) -> str:
    """The same for the same person at the same issuer, and for nobody else; 44 safe characters."""
    return "ext-" + hashlib.sha256(f"{issuer}\0{subject}".encode()).hexdigest()[:40]


def name_of(claims: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first of these claims that can be shown. Never the e-mail address unasked: everybody sees it."""
    for claim in names:
        told = _look_up(claims, claim)
        if isinstance(told, str) and (shown := _shown(told)):
            return shown
    return SOMEBODY


def _shown(told: str) -> str:
    """A name as one can be shown, or nothing; what no name may hold is taken out."""
    whole = "".join(
        " " if unicodedata.category(one) in ("Cc", "Cs") else one for one in told[: 4 * NAME_CHARS]
    )
    visible = "".join(" " if unicodedata.category(one)[0] == "C" else one for one in whole)
    # most names pass whole; joiners within emoji and Persian words are of category Cf too
    for text in (whole, visible):
        try:
            return check_line(" ".join(text.split())[:NAME_CHARS])
        except PydanticCustomError:
            continue
    return ""


def identity_of(
    claims: Mapping[str, Any], *, token_id: str, names: tuple[str, ...], admin: AdminClaim | None
) -> Identity:
    """Who somebody with these checked claims is."""
    issued_at = datetime.fromtimestamp(float(claims["iat"]), UTC)
    expires_at = datetime.fromtimestamp(float(claims["exp"]), UTC)
    plan = claims.get("plan")
    return Identity(
        user_id_of(claims["iss"], claims["sub"]),
        name_of(claims, names),
        is_guest=False,
        issued_at=issued_at,
        expires_at=expires_at,
        is_admin=admin is not None and admin.is_in(claims),
        token_id=token_id,
        session_id=token_id,
        # what it is exchanged for ends when it does
        until=expires_at,
        plan=plan if isinstance(plan, str) and len(plan) <= MAX_PLAN_CHARS else "",
        via=BY_PROVIDER,
    )
