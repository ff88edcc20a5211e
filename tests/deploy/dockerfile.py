"""A Dockerfile as a list of steps, for those who have no container engine.

Owns: reading the few instructions ours uses. Does not own: doing them (image.py).
Source: the Dockerfile reference, for comments, continued lines and the JSON form of CMD.
"""

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: its word, and the rest of the line."""

    word: str
    text: str

    @property
    def words(self) -> list[str]:
        """The rest as words, be it JSON or not."""
        return list(json.loads(self.text)) if self.text.startswith("[") else shlex.split(self.text)


@dataclass(slots=True)
class Stage:
    """A base image, and what is done to it. `name` is "" for the last one."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """What its ENV lines set, all together."""
        pairs = (pair for step in self.steps if step.word == "ENV" for pair in step.words)
        return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def read(path: Path) -> list[Stage]:
    """The stages in order."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    stages: list[Stage] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, text = line.strip().partition(" ")
        if not word:
            continue
        if word == "FROM":
            base, *named = text.split()
            stages.append(Stage(base, named[1] if named else ""))
        else:
            stages[-1].steps.append(Step(word, text.strip()))
    return stages
