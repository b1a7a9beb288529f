"""What the tests take for processes of their own."""

import subprocess
import time

from left import OURS, left_behind


def test_only_what_a_test_started_and_what_that_started(tmp_path, monkeypatch):
    place = str(tmp_path)
    stranger = subprocess.Popen(["sleep", "60"])  # of a browser that another test keeps open, say
    monkeypatch.setenv(OURS, place)
    # A browser's children write their titles over the environment: they are known by their parent alone.
    own = subprocess.Popen(["sh", "-c", f"env -u {OURS} sleep 60 & wait"], process_group=0)
    try:
        until = time.monotonic() + 20
        while len(found := left_behind(place)) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        assert {own.pid} < {one.pid for one in found} and len(found) == 2
        assert stranger.pid not in {one.pid for one in found}
        for one in found:
            one.kill()
        own.wait()
        while left_behind(place):  # its child has another parent now, and may still be about to die
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        stranger.kill()
        stranger.wait()
