"""A verdict as headers of an answer, and a refusal in words.

Owns: their spelling. Does not own: which answers carry them (registry.py, problems.py).
Source: draft-ietf-httpapi-ratelimit-headers-10 (`RateLimit-Policy` with q and w, `RateLimit` with r and t),
RFC 9651 (structured fields), RFC 9110 section 10.2.3 (Retry-After).
"""

from math import ceil

from server.rates.base import Rate, RateLimited, Verdict, whole_seconds

POLICY = "RateLimit-Policy"
STATE = "RateLimit"


def rate_headers(action: str, rate: Rate, verdict: Verdict) -> dict[str, str]:
    """What is left, and until when; for a refusal `t` is the moment that Retry-After means."""
    until_s = ceil(verdict.reset_s) if verdict.is_allowed else whole_seconds(verdict.retry_after_s)
    return {
        POLICY: f'"{action}";q={rate.limit};w={ceil(rate.window_s)}',
        STATE: f'"{action}";r={verdict.remaining};t={until_s}',
    }


def refusal(action: str, rate: Rate, verdict: Verdict) -> RateLimited:
    """The refusal, with the time to wait."""
    wait_s = whole_seconds(verdict.retry_after_s)
    return RateLimited(
        f"Too many requests of the kind {action}: {rate.limit} in {rate.window_s:g} s are allowed. "
        f"Try again in {wait_s} s.",
        retry_after_s=wait_s,
        headers=rate_headers(action, rate, verdict),
    )
