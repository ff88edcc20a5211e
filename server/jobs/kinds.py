"""The kinds of jobs there are, each with its handler: the one place where they are registered.

A kind is lower-case words joined by dots ("asset.render") and is never renamed: jobs of it may be waiting.
"""

from collections.abc import Mapping
from typing import Final

from server.accounts.guests import SETTLE, settle_account
from server.assets.keeping import REMOVE, RENDER, SWEEP
from server.assets.rendering import remove_blobs, render_asset
from server.assets.sweep import sweep_assets
from server.jobs.base import JobHandler
from server.mail.sending import MAIL, send_mail

HANDLERS: Final[Mapping[str, JobHandler]] = {
    RENDER: render_asset,
    REMOVE: remove_blobs,
    SWEEP: sweep_assets,
    MAIL: send_mail,
    SETTLE: settle_account,
}
