"""A file is replaced as a whole: whoever reads it, and whenever the writer is killed, it is the old or the new one."""

import subprocess
import sys
import time
from pathlib import Path

from mt_assets.trainer.store.atomic import UNFINISHED, sweep, write_atomic

WRITER = """
import itertools, sys
from pathlib import Path
from mt_assets.trainer.store.atomic import write_atomic
for number in itertools.cycle(b"abc"):
    write_atomic(Path(sys.argv[1]), bytes([number]) * 4_000_000)
"""


def test_no_reader_and_no_kill_ever_meets_a_part(tmp_path: Path) -> None:
    path = tmp_path / "pointer.json"
    write_atomic(path, b"a" * 4_000_000)
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)]) as writer:
            seen = set()
            until = time.monotonic() + 20
            while len(seen) < 3 and time.monotonic() < until:
                content = path.read_bytes()
                assert len(content) == 4_000_000
                assert len(set(content)) == 1
                seen.add(content[0])
            writer.kill()
        assert len(seen) == 3, "the writer has not written"
        assert len(path.read_bytes()) == 4_000_000
    sweep(tmp_path)
    assert not list(tmp_path.glob(f"{UNFINISHED}*"))
