"""Addresses of an identity provider. Owns: which are safe to ask. Pure, and cheap to import."""

import ipaddress
from urllib.parse import urlsplit


def is_safe_address(url: str) -> bool:
    """Whether it is https, or http to this machine, without a password and a fragment."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
