"""RFC 8725's attacks and their relatives: tokens that a careless verifier takes, and ours does not."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from party.errors import Unauthenticated
from server.identity.jwks import KeyCache
from server.identity.outside import Issuer, OutsideTokens
from tests.server.identity.keyring import AUDIENCE, ISSUER, Pair, b64, claims, jwks, pair, token

RSA = pair("rsa")
EC = pair("ec", "ES256")
ED = pair("ed", "EdDSA")
WEAK = pair("weak", "RS256", 1024)
EVE = pair("rsa-of-eve")
"""A key of somebody else, whatever it says of itself."""

PUBLISHED = {
    "keys": [
        RSA.jwk,
        EC.jwk,
        ED.jwk,
        {**WEAK.jwk},
        {"kty": "oct", "kid": "shared", "k": b64(b"s" * 32), "alg": "HS256", "use": "sig"},
        {**pair("for-encryption").jwk, "use": "enc", "alg": "RSA-OAEP"},
        {**pair("p384", "ES384").jwk},
        {**pair("wraps").jwk, "key_ops": ["wrapKey"]},
        {**pair("pss", "PS256").jwk},
    ]
}


def public_pem() -> bytes:
    return RSA.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hmac_with(secret: bytes, kid: str = "rsa", algorithm: str = "HS256", told: Any = None) -> str:
    """Signed symmetrically with something that is public."""
    signed = f"{b64({'alg': algorithm, 'kid': kid, 'typ': 'JWT'})}.{b64(told or claims())}"
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    return f"{signed}.{b64(hmac.new(secret, signed.encode(), digest).digest())}"


def by_eve(**head: Any) -> str:
    return token(by=EVE, head={"alg": "RS256", "kid": "rsa", "typ": "JWT"} | head)


def unsigned(algorithm: str, signature: str = "") -> str:
    return f"{b64({'alg': algorithm, 'kid': 'rsa', 'typ': 'JWT'})}.{b64(claims())}.{signature}"


def head(**changed: Any) -> str:
    whole = {"alg": "RS256", "kid": "rsa", "typ": "JWT"} | changed
    return token(head={name: value for name, value in whole.items() if value is not None})


def told(**changed: Any) -> str:
    return token(claims(**changed))


def without(name: str) -> str:
    return token(claims(**{name: None}))


def spliced() -> str:
    """The claims of one token under the signature of another."""
    good, other = token(), token(claims(sub="eve"))
    return ".".join((good.split(".")[0], other.split(".")[1], good.split(".")[2]))


def twice_in_the_head() -> str:
    return token(head='{"alg":"none","kid":"rsa","typ":"JWT","alg":"RS256"}')


def padded() -> str:
    return token() + "="


def with_line_break() -> str:
    good = token()
    return good[:20] + "\n" + good[20:]


def in_plain_base64() -> str:
    first, second, third = token(by=EVE).split(".")
    return f"{first}.{second}.{third.replace('-', '+').replace('_', '/')}+"


def der_instead_of_raw() -> str:
    """An ECDSA signature as OpenSSL writes it."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    signed = f"{b64({'alg': 'ES256', 'kid': 'ec', 'typ': 'JWT'})}.{b64(claims())}"
    return f"{signed}.{b64(EC.private.sign(signed.encode(), ec.ECDSA(SHA256())))}"


def zeroes_as_ecdsa() -> str:
    """r = s = 0, which some libraries took for any message."""
    signed = f"{b64({'alg': 'ES256', 'kid': 'ec', 'typ': 'JWT'})}.{b64(claims())}"
    return f"{signed}.{b64(bytes(64))}"


def json_serialisation() -> str:
    first, second, third = token().split(".")
    return json.dumps({"protected": first, "payload": second, "signature": third})


def nested() -> str:
    """A good token as the payload of another."""
    return token(by=EVE, told=token(), head={"alg": "RS256", "kid": "rsa", "cty": "JWT", "typ": "JWT"})


def own_secret() -> str:
    """As our own issuer writes them, under a key that anybody can guess."""
    return hmac_with(b"secret", told=claims(iss="kanvas", aud="kanvas"))


HOUR = 3600
FORGERIES: dict[str, Callable[[], str]] = {
    # 2.1: weak signatures and insufficient validation
    "none": lambda: unsigned("none"),
    "None": lambda: unsigned("None"),
    "nOnE with a signature": lambda: unsigned("nOnE", b64(b"x" * 256)),
    "empty alg": lambda: unsigned("", b64(b"x" * 256)),
    "no alg": lambda: head(alg=None),
    "alg is a list": lambda: head(alg=["RS256"]),
    "signature left out": lambda: unsigned("RS256"),
    "signature of zeroes": lambda: unsigned("RS256", b64(bytes(256))),
    "HS256 with the public key as PEM": lambda: hmac_with(public_pem()),
    "HS256 with the public key as PEM, stripped": lambda: hmac_with(public_pem().strip()),
    "HS256 with the public key as JWK": lambda: hmac_with(json.dumps(RSA.jwk).encode()),
    "HS256 with the modulus": lambda: hmac_with(base64.urlsafe_b64decode(RSA.jwk["n"] + "==")),
    "HS384 with the public key": lambda: hmac_with(public_pem(), algorithm="HS384"),
    "HS512 with the public key": lambda: hmac_with(public_pem(), algorithm="HS512"),
    "HS256 with an empty key": lambda: hmac_with(b""),
    "HS256 with a published symmetric key": lambda: hmac_with(b"s" * 32, kid="shared"),
    "as our own, with a guessed secret": own_secret,
    # the algorithm of another key, or of none
    "RS384": lambda: token(algorithm="RS384"),
    "RS512": lambda: token(algorithm="RS512"),
    "PS256 with the RSA key": lambda: token(algorithm="PS256"),
    "PS256 with a key for it": lambda: token(by=pair("pss", "PS256")),
    "ES384 with a key for it": lambda: token(by=pair("p384", "ES384")),
    "the kid of an EC key on an RSA signature": lambda: head(kid="ec"),
    "the kid of an Ed25519 key on an RSA signature": lambda: head(kid="ed"),
    "an RSA key of 1024 bits": lambda: token(by=WEAK),
    "a key for encryption": lambda: token(by=pair("for-encryption")),
    "a key for wrapping": lambda: token(by=pair("wraps")),
    "ECDSA in DER": der_instead_of_raw,
    "ECDSA of zeroes": zeroes_as_ecdsa,
    # 2.8: keys and addresses a token brings along
    "a key of Eve's": by_eve,
    "jwk": lambda: by_eve(jwk=EVE.jwk),
    "jwk under a kid nobody has": lambda: by_eve(jwk=EVE.jwk, kid="rsa-of-eve"),
    "jku": lambda: by_eve(jku="https://eve.example/jwks", kid="rsa-of-eve"),
    "x5u": lambda: by_eve(x5u="https://eve.example/cert.pem", kid="rsa-of-eve"),
    "x5c": lambda: by_eve(x5c=[b64(public_pem())], kid="rsa-of-eve"),
    # tricks with the kid
    "kid is a path": lambda: hmac_with(b"", kid="../../../../dev/null"),
    "kid is SQL": lambda: by_eve(kid="x' UNION SELECT 'key"),
    "kid is a list": lambda: head(kid=["rsa"]),
    "kid is a number": lambda: head(kid=0),
    "kid is empty": lambda: head(kid=""),
    "kid has other case": lambda: by_eve(kid="RSA"),
    "kid of a megabyte": lambda: by_eve(kid="k" * 4000),
    "kid left out, by Eve": lambda: by_eve(kid=None),
    # the header's other words
    "crit": lambda: head(crit=["exp"], exp=0),
    "crit is empty": lambda: head(crit=[]),
    "b64": lambda: head(b64=False, crit=["b64"]),
    "b64 without crit": lambda: head(b64=True),
    "zip": lambda: head(zip="DEF"),
    "enc": lambda: head(enc="A128GCM"),
    "typ of a logout token": lambda: head(typ="logout+jwt"),
    "typ of a DPoP proof": lambda: head(typ="dpop+jwt"),
    "typ of a security event": lambda: head(typ="secevent+jwt"),
    "typ is a list": lambda: head(typ=["JWT"]),
    "alg twice": twice_in_the_head,
    # the form
    "padding": padded,
    "a line break": with_line_break,
    "the other alphabet": in_plain_base64,
    "a space in front": lambda: " " + token(),
    "four parts": lambda: token() + ".x",
    "five parts, as if encrypted": lambda: token() + ".x.y",
    "JSON serialisation": json_serialisation,
    "nested": nested,
    "spliced": spliced,
    "payload is a list": lambda: token([claims()]),
    "larger than any": lambda: told(padding="x" * 9000),
    # 2.7, 3.8, 3.9: whom it is from, and for whom
    "another issuer": lambda: told(iss="https://id.example.org/realms/other"),
    "the issuer with a slash": lambda: told(iss=ISSUER + "/"),
    "the issuer in capitals": lambda: told(iss=ISSUER.upper()),
    "a list of issuers": lambda: told(iss=[ISSUER, "https://eve.example"]),
    "no issuer": lambda: without("iss"),
    "the issuer of our own tokens": lambda: told(iss="kanvas", aud="kanvas"),
    "another audience": lambda: told(aud="another-client"),
    "other audiences": lambda: told(aud=["another-client", "account"]),
    "an audience that begins alike": lambda: told(aud=AUDIENCE + "-evil"),
    "an audience within a text": lambda: told(aud=f"x {AUDIENCE} y"),
    "an audience that is an object": lambda: told(aud={AUDIENCE: True}),
    "an empty audience": lambda: told(aud=[]),
    "no audience": lambda: without("aud"),
    "no subject": lambda: without("sub"),
    "an empty subject": lambda: told(sub=""),
    "a subject that is a number": lambda: told(sub=1),
    "a subject that is a list": lambda: told(sub=["ada"]),
    "a subject of half a character": lambda: told(sub="ada\ud800"),
    "a subject without an end": lambda: told(sub="a" * 300),
    # times
    "expired": lambda: told(iat=int(time.time()) - HOUR, exp=int(time.time()) - 40),
    "no expiry": lambda: without("exp"),
    "expiry as text": lambda: told(exp=str(int(time.time()) + 600)),
    "expiry is true": lambda: told(exp=True),
    "expiry never": lambda: told(exp=1e300),
    "expiry is infinite": lambda: token(json.dumps(claims()).replace('"exp"', '"exp": Infinity, "x"')),
    "expiry is no number": lambda: token(json.dumps(claims()).replace('"exp"', '"exp": NaN, "x"')),
    "not yet": lambda: told(nbf=int(time.time()) + HOUR),
    "not before as text": lambda: told(nbf="0"),
    "issued in the future": lambda: told(iat=int(time.time()) + HOUR, exp=int(time.time()) + 2 * HOUR),
    "no time of issue": lambda: without("iat"),
    "issued after its end": lambda: told(exp=int(time.time()) - 20),
}


def verifier(published: Any = PUBLISHED) -> OutsideTokens:
    async def fetch() -> bytes:
        return json.dumps(published).encode()

    return OutsideTokens(Issuer(ISSUER, AUDIENCE), KeyCache(fetch))


def naive(forged: str) -> Any:
    """What somebody reads who trusts what is written."""
    if forged.startswith("{"):
        payload = json.loads(forged)["payload"]
    else:
        payload = forged.strip().replace("\n", "").split(".")[1]
    read = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return read[0] if isinstance(read, list) else read


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_forgery_is_refused(name: str) -> None:
    """I1: everything else about each of them is right."""
    forged = FORGERIES[name]()
    if name not in ("nested", "no subject"):
        assert isinstance(naive(forged), dict), "a careless verifier finds somebody in it"
        assert "sub" in naive(forged)
    with pytest.raises(Unauthenticated):
        await verifier().verify(forged)


def test_there_are_enough() -> None:
    assert len(FORGERIES) >= 40


@pytest.mark.parametrize("by", [RSA, EC, ED], ids=lambda one: one.algorithm)
@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
async def test_a_right_one_is_taken(by: Pair, kind: str | None) -> None:
    whole = {"alg": by.algorithm, "kid": by.kid} | ({} if kind is None else {"typ": kind})
    found = await verifier().verify(token(by=by, head=whole))
    assert (found.name, found.is_guest, found.is_admin) == ("Ada", False, False)


@pytest.mark.parametrize(
    "changed",
    [
        lambda _: {"aud": [AUDIENCE, "account"]},
        lambda now: {"nbf": now + 20},
        lambda now: {"iat": now + 20},
        lambda now: {"iat": now - 600, "exp": now - 20},
        lambda now: {"exp": now + 600.5},
    ],
    ids=["one of several audiences", "early", "issued ahead", "late", "half seconds"],
)
async def test_what_differs_a_little_is_taken(changed: Callable[[int], dict[str, Any]]) -> None:
    """I1: clocks may differ by 30 s."""
    assert (await verifier().verify(told(**changed(int(time.time()))))).name == "Ada"


async def test_what_a_token_brings_along_is_not_looked_at() -> None:
    """I1: its own key beside a right signature changes nothing."""
    brought = {"jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/", "jwk": EVE.jwk}
    assert (await verifier().verify(head(**brought))).name == "Ada"


async def test_without_a_kid_the_only_key_counts() -> None:
    assert (await verifier(jwks(RSA, EC)).verify(head(kid=None))).name == "Ada"
    with pytest.raises(Unauthenticated):
        await verifier(jwks(RSA, EVE)).verify(head(kid=None))


async def test_the_same_claims_are_one_token_however_they_are_signed() -> None:
    """I7: ECDSA signs the same bytes differently each time; revoking one ends the other."""
    told = claims()
    first, second = token(told, EC), token(told, EC)
    assert first != second
    ids = {(await verifier().verify(one)).token_id for one in (first, second)}
    assert len(ids) == 1
    assert jwt.get_unverified_header(first)["kid"] == "ec"
