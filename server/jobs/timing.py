"""How long the runner waits for what, and when a job that failed is tried again.

Owns: the numbers. Does not own: what they are used for (`runner.py`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Timing:
    """The runner's times, all in seconds."""

    lease_s: float = 30.0
    """After a kill it takes this long until a job is taken up again; renewed three times in between."""
    poll_s: float = 1.0
    poll_most_s: float = 5.0
    """Each look that finds nothing doubles the pause, from the one to the other: 150 µs of CPU a look."""
    attempt_s: float = 900.0
    """Longest attempt; what takes longer is several jobs."""
    progress_s: float = 0.5
    """Between two writes of progress."""
    grace_s: float = 3.0
    """For running jobs to end by themselves at a stop."""
    cancel_s: float = 1.0
    """For a cancelled handler to end; then it is left to itself."""
    settle_s: float = 2.0
    """For the database to take what came of the last jobs at a stop."""
    retry_s: float = 5.0
    retry_factor: float = 4.0
    retry_most_s: float = 3600.0
    """Five attempts lie 5 s, 20 s, 80 s and 320 s apart, each give or take a half."""

    def retry_at(self, attempts: int, now: datetime, chance: float) -> datetime:
        """When a job that failed `attempts` times is due; `chance` is random, 0 <= chance < 1."""
        exponent = min(attempts - 1, 32)
        longest_s = min(self.retry_s * self.retry_factor**exponent, self.retry_most_s)
        return now + timedelta(seconds=longest_s * (0.5 + chance))
