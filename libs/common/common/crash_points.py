"""Named places where a test may kill the process, as a power cut would.

Off unless `CRASH_AT=name` or `CRASH_AT=name:nth` is set: then the nth time that the place is reached
the process kills itself with SIGKILL, so that nothing is flushed, closed or handed back.
"""

import os
import signal


class CrashPoints:
    """Counts how often one place is reached. `crash_at` is the setting, empty for never."""

    def __init__(self, crash_at: str = "") -> None:
        self._name, _, nth = crash_at.partition(":")
        self._left = int(nth) if nth else 1

    def reach(self, name: str) -> None:
        """Die here if this is the place and the time."""
        if name != self._name or not self._name:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
