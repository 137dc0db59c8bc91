import signal
import subprocess
import sys

from common.crash_points import CrashPoints

PROGRAM = """
from common.crash_points import CrashPoints
points = CrashPoints({crash_at!r})
for number in range(4):
    points.reach("other")
    points.reach("here")
    print(number, flush=True)
"""


def run(crash_at: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(crash_at=crash_at)], check=False, capture_output=True, text=True
    )
    return done.returncode, done.stdout


def test_without_a_setting_nothing_happens():
    CrashPoints().reach("")
    assert run("") == (0, "0\n1\n2\n3\n")


def test_a_process_dies_at_the_place_at_once_or_at_the_nth_time():
    assert run("here") == (-signal.SIGKILL, "")
    assert run("here:3") == (-signal.SIGKILL, "0\n1\n")
