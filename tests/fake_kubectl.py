#!/usr/bin/env python3
"""Enough of kubectl to try the plug-in: notes every call, and runs ``exec`` on this machine.

What a pod would have under /tmp is a folder of its own here. FAKE_STATE is the folder of all of it.
"""

import json
import os
import sys
from pathlib import Path

state = Path(os.environ["FAKE_STATE"])
words = sys.argv[1:]


def option(name):
    return words[words.index(name) + 1] if name in words else ""


with (state / "calls").open("a") as file:
    file.write(json.dumps(words) + "\n")
if words[0] == "create":
    number = len(list(state.glob("pod-*")))
    pod = f"viptrace-debug-{number}"
    (state / f"pod-{number}").mkdir()
    (state / f"pod-{number}" / "manifest.json").write_text(sys.stdin.read())
    sys.stdout.write(f"pod/{pod}\n")
elif words[0] == "wait":
    sys.exit(1 if (state / "unready").exists() else 0)
elif words[0] == "get" and words[1] == "nodes" and "-A" not in words:
    sys.stdout.write("node/one\nnode/two\n")
elif words[0] == "get" and words[1].startswith("nodes,"):
    sys.stdout.write('{"kind": "List", "items": []}')
elif words[0] == "get" and words[1] in ("serviceaccount", "namespace"):
    sys.exit(0 if (state / words[1]).exists() else 1)
elif words[0] == "exec":
    ours, theirs = words[: words.index("--")], words[words.index("--") + 1 :]
    folder = state / f"pod-{ours[-1].rpartition('-')[2]}"
    command = [word.replace("/tmp/", f"{folder}/") for word in theirs]
    os.execvp(command[0], command)
