"""Who people are, and how they sign in.

Owns: these settings. Does not own: reading them, and checking them together (`reading.py`).
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import BaseSettings, NoDecode

from server import setting_types as kinds
from server.setting_types import setting


class People(BaseSettings):
    """Who people are, and how they sign in."""

    guests: Annotated[bool, BeforeValidator(kinds.switch)] = setting(
        True, "on or off", "on or off", "Whether anybody may come in by giving a name.", shown="on"
    )
    origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(kinds.origins)] = setting(
        (),
        "list",
        "origins separated by commas, such as https://app.example.org, or *",
        "Other web origins whose pages may call this server; empty allows only its own pages.",
        shown="",
    )
    public_url: Annotated[str | None, AfterValidator(kinds.public_url)] = setting(
        None,
        "url",
        "an origin without a path, such as https://kanvas.example.org",
        "Where people reach this server behind a proxy; https makes the session cookie secure.",
        shown="",
    )
    secret: Annotated[SecretStr | None, AfterValidator(kinds.secret)] = setting(
        None,
        "text",
        "at least 32 bytes, for example the output of: openssl rand -hex 32",
        "Key that signs sign-in tokens; whoever has it can be anybody.",
        shown="generated into {data_dir}/secret",
    )
    token_ttl_s: int = setting(
        86_400,
        "integer",
        "a whole number of seconds from 60 to 7776000",
        "Seconds a sign-in token is valid; our client renews it by itself.",
        shown="86400",
        ge=60,
        le=7_776_000,
    )
    jwt_jwks_url: Annotated[str | None, AfterValidator(kinds.provider_url)] = setting(
        None,
        "url",
        "an https address",
        "Where the public keys of your identity provider are; its tokens are then taken as bearer tokens.",
        shown="",
    )
    jwt_issuer: Annotated[str | None, AfterValidator(kinds.jwt_issuer)] = setting(
        None,
        "text",
        "what the claim iss of its tokens says",
        "Issuer of those tokens, letter by letter.",
        shown="",
    )
    jwt_audience: str | None = setting(
        None,
        "text",
        "what the claim aud of its tokens says or has",
        "Audience of those tokens: that they are made for this server.",
        shown="",
    )
    name_claims: Annotated[tuple[str, ...], NoDecode, BeforeValidator(kinds.words)] = setting(
        ("name", "preferred_username", "nickname"),
        "list",
        "claims separated by commas",
        "Claims of the identity provider that say what somebody is called; the first that is there counts.",
        shown="name,preferred_username,nickname",
    )
    admin_claim: Annotated[str | None, AfterValidator(kinds.admin_claim)] = setting(
        None,
        "text",
        "a claim and its value, such as realm_access.roles=kanvas-admin",
        "Claim of the identity provider that makes somebody an operator; empty is nobody.",
        shown="",
    )
    oidc_issuer: Annotated[str | None, AfterValidator(kinds.provider_url)] = setting(
        None,
        "url",
        "the issuer's https address, without /.well-known/openid-configuration",
        "Identity provider to sign in at, by OpenID Connect; the sign-in page then has a button for it.",
        shown="",
    )
    oidc_client_id: str | None = setting(
        None, "text", "the client id", "What the provider calls this server.", shown=""
    )
    oidc_client_secret: SecretStr | None = setting(
        None, "text", "the client secret", "Empty for a public client, which PKCE alone protects.", shown=""
    )
    oidc_scopes: Annotated[str, AfterValidator(kinds.scopes)] = setting(
        "openid profile",
        "text",
        "scopes separated by spaces, openid among them",
        "What is asked of the provider.",
        shown="openid profile",
    )
    oidc_button: str = setting(
        "Sign in",
        "text",
        "up to 40 characters",
        "Text of the button, such as: Sign in with Example.",
        shown="Sign in",
        min_length=1,
        max_length=40,
    )
    oidc_session_s: int = setting(
        604_800,
        "integer",
        "a whole number of seconds from 300 to 7776000",
        "Seconds after which somebody who came by the provider signs in there again.",
        shown="604800",
        ge=300,
        le=7_776_000,
    )
    smtp_url: Annotated[SecretStr | None, AfterValidator(kinds.smtp_url)] = setting(
        None,
        "url",
        "smtp://[user:password@]host[:port] with STARTTLS where it is offered, or smtps://",
        "Mail server for sign-in by e-mail and invitations; empty keeps mails in this server's own mailbox "
        "page, which only this machine may open.",
        shown="",
    )
    mail_from: Annotated[str, AfterValidator(kinds.mail_from)] = setting(
        "Kanvas <kanvas@localhost>",
        "text",
        "an address, such as Kanvas <kanvas@example.org>",
        "Sender of those mails.",
        shown="Kanvas <kanvas@localhost>",
    )
    default_role: Annotated[
        Literal["none", "viewer", "commenter", "editor"], BeforeValidator(kinds.lower)
    ] = setting(
        "editor",
        "word",
        "none, viewer, commenter or editor",
        "Role that everybody with its address has in a new room, unless who makes it says otherwise.",
        shown="editor",
    )
