"""How much of what one may use.

Owns: these settings. Does not own: reading them, and checking them together (`reading.py`).
"""

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import BaseSettings, NoDecode

from server import setting_types as kinds
from server.setting_types import setting


class Bounds(BaseSettings):
    """How much of what one may use."""

    max_asset_bytes: int = setting(
        512 * 1024 * 1024,
        "integer",
        "a whole number of bytes from 1024 to 1099511627776",
        "Largest file, in bytes; an image has at most 104857600 whatever this says.",
        shown="536870912",
        ge=1024,
        le=1024**4,
    )
    room_quota_bytes: int = setting(
        10 * 1024**3,
        "integer",
        "a whole number of bytes from 1024 to 1125899906842624",
        "Most bytes of images and files one room may have stored.",
        shown="10737418240",
        ge=1024,
        le=1024**5,
    )
    user_quota_bytes: int = setting(
        20 * 1024**3,
        "integer",
        "a whole number of bytes from 1024 to 1125899906842624",
        "Most bytes of images and files one user may have stored, in all rooms together.",
        shown="21474836480",
        ge=1024,
        le=1024**5,
    )
    asset_delivery: Annotated[Literal["auto", "redirect", "stream"], BeforeValidator(kinds.lower)] = setting(
        "auto",
        "word",
        "auto, redirect or stream",
        "How files are read: sent to storage with a signed address, or streamed by this server; "
        "auto redirects to S3 and streams files.",
        shown="auto",
    )
    signed_url_ttl_s: int = setting(
        3600,
        "integer",
        "a whole number of seconds from 60 to 604800",
        "Seconds a signed address to read a file is good for.",
        shown="3600",
        ge=60,
        le=604_800,
    )
    import_networks: Annotated[
        tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...],
        NoDecode,
        BeforeValidator(kinds.networks),
    ] = setting(
        (),
        "list",
        "networks separated by commas, such as 10.0.0.0/8, fd12:3456::/32",
        "Networks of yours that images may be imported from, too; empty allows only the public internet.",
        shown="",
    )
    max_user_connections: int = setting(
        64,
        "integer",
        "a whole number from 1 to 1000000",
        "Most connections to rooms one user may have at once; each open tab is one.",
        shown="64",
        ge=1,
        le=1_000_000,
    )
    max_room_connections: int = setting(
        1000,
        "integer",
        "a whole number from 1 to 1000000",
        "Most connections one room may have at once.",
        shown="1000",
        ge=1,
        le=1_000_000,
    )
    rate_limits: Annotated[str, AfterValidator(kinds.rate_limits)] = setting(
        "",
        "list",
        "off, or action=limit/seconds and action=off, separated by commas, such as default=20/60,read=off",
        "Changes to how often a user may do something (section Rate limits); off counts nothing.",
        shown="",
    )
    rate_plans: Annotated[str, AfterValidator(kinds.rate_plans)] = setting(
        "",
        "list",
        "plan=xFACTOR and plan:action=limit/seconds, separated by commas, such as pro=x5,bot:party.write=off",
        "Rates of users whose token has this `plan`: all of them multiplied, or single ones.",
        shown="",
    )
    trusted_proxies: Annotated[
        tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...],
        NoDecode,
        BeforeValidator(kinds.proxies),
    ] = setting(
        "127.0.0.0/8,::1",
        "list",
        "networks separated by commas, such as 127.0.0.1,10.0.0.0/8, or none",
        "Proxies whose X-Forwarded-For, X-Forwarded-Proto or Forwarded is believed.",
        shown="127.0.0.0/8,::1",
    )
