"""Problems: every error as application/problem+json, and the errors only the HTTP edge knows.

Owns: the rendering of party/errors.py and of Starlette's exceptions. Does not own: when they are raised.
Rules: `code` is stable, `detail` says what to do, `errors` names every field; never a traceback.
Source: RFC 9457 (problem details), RFC 6901 (JSON pointers), RFC 9110 section 15.
"""

import base64
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from math import ceil
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from party.errors import (
    Conflict,
    Forbidden,
    IncompleteUpdate,
    Invalid,
    KanvasError,
    NotFound,
    TooLarge,
    Unauthenticated,
)

PROBLEM_TYPE = "application/problem+json"
RATE_HEADERS = "rate_headers"
"""Where the registry leaves, in the request's state, the headers that an error carries too."""


class FieldError(BaseModel):
    """What is wrong with one field."""

    model_config = ConfigDict(extra="forbid")

    pointer: str | None = Field(default=None, description="JSON pointer into the body", examples=["/title"])
    field: str | None = Field(default=None, description="Name of a query, path or header parameter")
    code: str = Field(examples=["string_too_long"])
    message: str


class Problem(BaseModel):
    """An error as a program and a person can read it (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(examples=["urn:kanvas:problem:room_not_found"])
    title: str = Field(examples=["Room not found"])
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What happened and what to do")
    code: str = Field(description="Stable name of the error", examples=["room_not_found"])
    request_id: str | None = Field(description="Quote it to the operator; the log has it too")
    errors: list[FieldError] | None = Field(default=None, description="Every field that is wrong")
    retry_after_s: int | None = Field(default=None, description="Seconds to wait, as Retry-After says")
    state_vector: str | None = Field(
        default=None, description="Base64 Yjs state vector of the room, with code incomplete_update"
    )


class BadRequest(KanvasError):
    """The request can't be read; check its syntax."""

    code = "bad_request"
    status = 400
    close_code = 4400


class HeadTooLarge(KanvasError):
    """The request's headers are larger than this server takes; send fewer or shorter ones (cookies?)."""

    code = "head_too_large"
    status = 431
    close_code = 4400


class TooManyAtOnce(BadRequest):
    """Too many requests wait on this connection; read the answers before you send more."""

    code = "too_many_at_once"


class MethodNotAllowed(KanvasError):
    """This address does not take this method; the Allow header lists those it takes."""

    code = "method_not_allowed"
    status = 405
    close_code = 4400


class UnsupportedMedia(KanvasError):
    """The body has a content type this address does not take."""

    code = "unsupported_media_type"
    status = 415
    close_code = 4400


class ScopeMissing(Forbidden):
    """The personal token is not good for this; make one with the scope it takes at /account."""

    code = "scope_missing"


class GuestsOff(Forbidden):
    """This server takes no guests; the operator can allow them with KANVAS_GUESTS=on."""

    code = "guests_off"


class OidcOff(NotFound):
    """This server has no identity provider to sign in at; the operator can set KANVAS_OIDC_ISSUER."""

    code = "oidc_off"


class IdempotencyConflict(Conflict):
    """This Idempotency-Key was used for another request; take a new key."""

    code = "idempotency_conflict"


class AssetTooLarge(TooLarge):
    """The image is larger than this server takes; make it smaller."""

    code = "asset_too_large"


class AssetHashMismatch(Invalid):
    """The SHA-256 of the bytes is not the one in the address; nothing was stored."""

    code = "asset_hash_mismatch"


class AssetTypeRefused(UnsupportedMedia):
    """The bytes are none Kanvas takes: png, jpeg, gif, webp, avif, heic, svg, bmp, ico, pdf, mp4 or webm."""

    code = "asset_type_refused"


class HeicOff(UnsupportedMedia):
    """This server can't read HEIC; send it as JPEG. The operator can add it: pip install "kanvas[heic]"."""

    code = "heic_off"


class AssetBroken(Invalid):
    """The file is damaged or cut off; save it again with the program that made it, and send that."""

    code = "asset_broken"


class AssetTooManyPixels(Invalid):
    """The image has more pixels than this server takes (64 megapixels, 32,768 a side); make it smaller."""

    code = "asset_too_many_pixels"


class AssetTooManyFrames(Invalid):
    """The animation is too long for this server (100 frames, 256 megapixels in all); send it as a video."""

    code = "asset_too_many_frames"


class SvgRefused(Invalid):
    """The SVG can't be made safe; save it as plain SVG, without scripts, entities or other files."""

    code = "svg_refused"


class AssetNotFound(NotFound):
    """There is no such image or file here; it may not have been uploaded yet, or nobody used it any more."""

    code = "asset_not_found"


class AssetTypeMismatch(Invalid):
    """The bytes are of another type than was announced; announce what the file is."""

    code = "asset_type_mismatch"


class AssetSizeMismatch(Invalid):
    """The file has another length than was announced; nothing was stored, so announce and send it again."""

    code = "asset_size_mismatch"


class UserNotFound(NotFound):
    """There is nobody by this id whom you share a room with."""

    code = "user_not_found"


class UploadNotFound(NotFound):
    """There is no such upload in this room; it was canceled, refused, or has expired: announce it again."""

    code = "upload_not_found"


class UploadIncomplete(Conflict):
    """The bytes have not arrived yet; send them to the address of the upload, then complete it."""

    code = "upload_incomplete"


class UploadStalled(KanvasError):
    """No more of the file came for a while, so it was given up; nothing was stored, send it again."""

    code = "upload_stalled"
    status = 408
    close_code = 4400


class TooManyUploads(KanvasError):
    """You have too many unfinished uploads; complete or cancel some first."""

    code = "too_many_uploads"
    status = 429
    close_code = 4429


class QuotaExceeded(TooLarge):
    """There is no space left for this file; remove some files, or ask the operator for more."""

    code = "quota_exceeded"


class ImportUrlInvalid(Invalid):
    """This can't be imported from; give an http or https address with a host and without a password."""

    code = "import_url_invalid"


class ImportAddressRefused(Invalid):
    """This points to an address that is not public, or its host can't be found; only public ones are taken.

    One error for both, and the same whether something listens there or not: it tells nothing of the
    network the server is in.
    """

    code = "import_address_refused"


class ImportFailed(Invalid):
    """The file could not be fetched from this address.

    422 and not 502: proxies put pages of their own in the place of a 502, and the sentence would be lost.
    """

    code = "import_failed"


class AdminsOnly(Forbidden):
    """This is for the operator; send a token that was made by: kanvas token --admin"""

    code = "admins_only"


class WorkerNotFound(NotFound):
    """There is no worker of this number; they are counted from 0, KANVAS_WORKERS says how many there are."""

    code = "worker_not_found"


class WrongWorker(KanvasError):
    """Another worker got the request; a new connection leads to the right one, once it is there."""

    code = "wrong_worker"
    status = 421


class HoldNotFound(NotFound):
    """There is no such hold; it was lifted, or it has ended and is forgotten."""

    code = "hold_not_found"


class NodeNotFound(NotFound):
    """There is no such node alive; GET /api/v1/admin/nodes lists those there are."""

    code = "node_not_found"


class JobNotFound(NotFound):
    """There is no job of yours with this id; those that are done are forgotten after 7 days."""

    code = "job_not_found"


class JobNotDead(Conflict):
    """Only a dead job can be revived; this one is queued, runs, or is done."""

    code = "job_not_dead"


class NotReady(KanvasError):
    """This process takes no traffic now; ask again soon."""

    code = "not_ready"
    status = 503
    close_code = 1013


class TookTooLong(KanvasError):
    """The document took too long to read, so reading it was given up; the room itself works as before."""

    code = "took_too_long"
    status = 503
    close_code = 1013


class Busy(KanvasError):
    """Too many documents are being read at once; ask again in a moment."""

    code = "busy"
    status = 503
    close_code = 1013


class InvalidFields(Invalid):
    """Some fields are not valid; `errors` names each and what it takes."""

    def __init__(self, errors: Sequence[FieldError], message: str | None = None) -> None:
        super().__init__(message)
        self.errors = list(errors)


def field_errors(error: ValidationError, *, in_body: bool) -> list[FieldError]:
    """Pydantic's errors as ours: JSON pointers for a body, names for parameters."""
    return [
        _field_error(one, in_body=in_body) for one in error.errors(include_url=False, include_context=False)
    ]


def _field_error(one: ErrorDetails, *, in_body: bool) -> FieldError:
    place = one["loc"]
    if in_body:
        pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in place)
        return FieldError(pointer=pointer, code=one["type"], message=one["msg"])
    return FieldError(field=str(place[0]) if place else None, code=one["type"], message=one["msg"])


def invalid_field(name: str, code: str, message: str) -> InvalidFields:
    """One wrong parameter by its name, or one wrong member of the body by its JSON pointer ("/update")."""
    if name.startswith("/"):
        return InvalidFields([FieldError(pointer=name, code=code, message=message)])
    return InvalidFields([FieldError(field=name, code=code, message=message)])


def problem_body(error: KanvasError, request_id: str | None) -> dict[str, Any]:
    """The members of the problem document; absent ones left out."""
    body: dict[str, Any] = {
        "type": f"urn:kanvas:problem:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "request_id": request_id,
    }
    if isinstance(error, InvalidFields):
        body["errors"] = [one.model_dump(exclude_none=True) for one in error.errors]
    if (wait_s := getattr(error, "retry_after_s", None)) is not None:
        body["retry_after_s"] = ceil(wait_s)
    if isinstance(error, IncompleteUpdate):
        body["state_vector"] = base64.b64encode(error.state_vector).decode()
    return body


def problem_response(
    error: KanvasError, request_id: str | None, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer for an error, with the headers its status asks for."""
    all_headers = {"Cache-Control": "no-store", **(headers or {})}
    if isinstance(error, Unauthenticated):
        all_headers["WWW-Authenticate"] = 'Bearer realm="kanvas"'
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        # a room that is held says when; everything else is tried again soon
        all_headers["Retry-After"] = str(ceil(getattr(error, "retry_after_s", 2.0)))
    elif error.status == HTTPStatus.MISDIRECTED_REQUEST:
        # on the same connection the next request would come here again
        all_headers["Connection"] = "close"
    elif (wait_s := getattr(error, "retry_after_s", None)) is not None:
        all_headers["Retry-After"] = str(ceil(wait_s))
    return Response(
        orjson.dumps(problem_body(error, request_id)),
        status_code=error.status,
        headers=all_headers,
        media_type=PROBLEM_TYPE,
    )


def request_id_of(request: Request) -> str | None:
    """The id middleware.RequestContext gave this request."""
    state = request.scope.get("state") or {}
    found = state.get("request_id")
    return found if isinstance(found, str) else None


async def kanvas_error_handler(request: Request, error: Exception) -> Response:
    """Starlette's handler for KanvasError."""
    assert isinstance(error, KanvasError)  # noqa: S101 - registered for this class only
    state = request.scope.get("state") or {}
    return problem_response(error, request_id_of(request), state.get(RATE_HEADERS))


async def http_exception_handler(request: Request, error: Exception) -> Response:
    """Starlette's handler for its own exceptions: unknown paths and wrong methods."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    known: dict[int, type[KanvasError]] = {
        404: NotFound,
        405: MethodNotAllowed,
        413: TooLarge,
        400: BadRequest,
    }
    made = known.get(error.status_code, BadRequest if error.status_code < 500 else KanvasError)()
    return problem_response(made, request_id_of(request), error.headers)
