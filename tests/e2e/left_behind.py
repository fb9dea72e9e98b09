"""What a run of these tests leaves: processes that it started, directly or not, and
files where programs put temporary ones."""
import atexit
import contextlib
import os
import pathlib
import tempfile
import time
import uuid

# In the environment of every process that descends from this one, whatever else
# runs on the machine.
MARK = f"QUATRAIN_TEST_RUN={uuid.uuid4().hex}"
SCRATCH = pathlib.Path(tempfile.mkdtemp(prefix="quatrain-e2e-"))
KEPT = set()  # folders of SCRATCH that stay for people to read
HERE = pathlib.Path(__file__).parent
BEFORE = set(HERE.iterdir())

os.environ.update(dict([MARK.split("=")]), TMPDIR=str(SCRATCH))


@atexit.register
def remove_scratch():
    with contextlib.suppress(OSError):  # something in it is kept
        SCRATCH.rmdir()


def processes():
    """Process id and command line of each that still runs."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if MARK.encode() in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append(f"{folder.name} {command.decode(errors='replace')}")
    return found


def files():
    """Temporary files, and new ones in the folder that the tests run in."""
    new = {path for path in HERE.iterdir() if path.name != "__pycache__"} - BEFORE
    return sorted(map(str, new | set(SCRATCH.iterdir()) - KEPT))


def check():
    """Nothing is left, once those who are ending have ended."""
    deadline = time.monotonic() + 5
    while processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes()
    assert not files()
