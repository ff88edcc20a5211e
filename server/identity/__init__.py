"""Identity from outside: tokens of an identity provider, sign-in by OpenID Connect, expiry and revocation."""
