"""`python -m server` is `kanvas`."""

from server.cli import main

main()
