"""Encryption at rest: master keys wrap data keys, data keys seal documents, journal and files."""
