"""scripts/demo.sh stops what it started, also when interrupted."""
import os
import pathlib
import signal
import subprocess
import time

import pytest

from cluster import QUATRAIN, ROOT

PROMPT = "Once upon a time there was a little"

# Of another build, the demo would first make a release.
pytestmark = pytest.mark.skipif(
    pathlib.Path(QUATRAIN).resolve() != (ROOT / "build/release/tools/quatrain").resolve(),
    reason="the binary is not the one that the demo runs")


def processes_of_session(session):
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append((stat.parent / "cmdline").read_bytes().replace(b"\0", b" "))
        except OSError:
            continue  # it has ended
    return found


def restore_signals():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored where a script runs us in background


@pytest.mark.parametrize("send, number, code", [
    (os.killpg, signal.SIGINT, 130),  # as Ctrl-C
    (os.kill, signal.SIGTERM, 143),  # the others hear of it from the script
])
def test_an_interrupted_demo_leaves_no_process(send, number, code):
    demo = subprocess.Popen([ROOT / "scripts/demo.sh", PROMPT], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, start_new_session=True,
                            preexec_fn=restore_signals)
    try:
        text = b""
        while PROMPT.encode() not in text:
            piece = os.read(demo.stdout.fileno(), 4096)
            assert piece, text
            text += piece
        assert len(processes_of_session(demo.pid)) >= 6  # itself, five of the group
        send(demo.pid, number)
        rest, _ = demo.communicate(timeout=30)
        assert demo.returncode == code, text + rest
        assert b"tokens/s" not in text + rest, "the story was over"
        deadline = time.monotonic() + 2
        while left := processes_of_session(demo.pid):
            assert time.monotonic() < deadline, left
            time.sleep(0.02)
    finally:
        if processes_of_session(demo.pid):
            os.killpg(demo.pid, signal.SIGKILL)
        demo.wait()
