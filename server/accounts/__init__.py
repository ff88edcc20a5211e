"""Accounts: sign-in by e-mail, guests who become accounts, operators."""
