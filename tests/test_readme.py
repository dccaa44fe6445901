"""What README.md shows is what the demo prints."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
DURATION = re.compile(r"in [0-9.]+ s ")


def test_every_line_of_the_sample_is_printed_by_the_demo():
    (sample,) = re.findall(r"```text\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (demo,) = re.findall(r"viptrace replay (pcaps/\S+)$", (ROOT / "Makefile").read_text(), re.M)
    command = [sys.executable, "-m", "tracer", "replay", demo]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    printed = "\n" + DURATION.sub("in T s ", done.stdout)
    for line in DURATION.sub("in T s ", sample).splitlines():
        begins, cut, _ = line.partition("…")
        assert "\n" + begins + ("" if cut else "\n") in printed, line
