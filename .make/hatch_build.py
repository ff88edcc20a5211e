"""Hatchling's hook for the wheel: it carries the built client, or it is not built.

Owns: the check and the words. Source: hatchling's BuildHookInterface. An editable install needs no client.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ClientBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts static/dist into the wheel as server/static."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the wheel is built; `version` is "standard" or "editable"."""
        if version == "editable":
            return
        built = Path(self.root) / "static" / "dist"
        if not (built / "index.html").is_file():
            message = (
                "The wheel carries the built client, and static/dist/index.html is missing. Type:  make setup"
            )
            raise FileNotFoundError(message)
        build_data["force_include"][str(built)] = "server/static"
