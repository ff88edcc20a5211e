"""The real-time engine: rooms, sessions, presence, the sync wire and the document.

Imports the standard library and pycrdt only. `SPEC.md` beside this file holds the rules it keeps.
"""
