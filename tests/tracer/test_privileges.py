"""Rights are given up in a child: a thread of the test would keep what it lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tracer.errors import InputError
from tracer.privileges import WHILE_TRACING, held, identity_of, mask, needed

SHOW = "print(open('/proc/self/status').read())"


def status(program: str) -> dict[str, str]:
    """/proc/self/status at the end of a program that has given up rights."""
    code = f"from tracer.privileges import *\n{program}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return dict(re.findall(r"^(\w+):[ \t]*(.*)$", done.stdout, re.MULTILINE))


def test_old_kernels_need_a_capability_to_use_their_maps():
    assert needed("6.1.0-56-amd64") == needed("5.19.0") == WHILE_TRACING
    assert needed("5.10.0-32") == (*WHILE_TRACING, "BPF")


def test_a_user_is_a_name_or_numbers():
    assert identity_of("65534") == (65534, 65534)
    assert identity_of("1000:100") == (1000, 100)
    assert identity_of("root") == (0, 0)
    for wrong in ("no-such-user", "-1", "1:x", "root:no-such-group"):
        with pytest.raises(InputError, match="no user"):
            identity_of(wrong)


def test_nothing_is_held_afterwards_that_was_not_asked_for():
    found = status(f"give_up(WHILE_TRACING)\n{SHOW}")
    assert int(found["CapEff"], 16) == held() & mask(WHILE_TRACING)
    assert int(found["CapPrm"], 16) == int(found["CapEff"], 16)
    assert found["NoNewPrivs"] == "1"


def test_a_program_started_then_has_no_more():
    run = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {SHOW!r}])"
    found = status(f"give_up(WHILE_TRACING)\n{run}")
    assert int(found["CapEff"], 16) & ~mask(WHILE_TRACING) == 0


@pytest.mark.root
def test_another_user_keeps_what_tracing_needs_and_lends_it_to_tools():
    run = "import subprocess\nprint(subprocess.run(['iptables-save'], check=True) and '')"
    found = status(f"give_up(WHILE_TRACING, 'nobody')\n{run}\n{SHOW}")
    assert set(found["Uid"].split()) == {str(identity_of("nobody")[0])}
    assert found["Groups"].strip() == ""
    assert int(found["CapEff"], 16) == held() & mask(WHILE_TRACING)


@pytest.mark.root
def test_threads_that_run_already_lose_the_user_too():
    threads = "import os, threading\ndone = threading.Event()\n"
    threads += "threading.Thread(target=done.wait, daemon=True).start()\n"
    show = "print(open(f'/proc/self/task/{max(map(int, os.listdir(\"/proc/self/task\")))}/status').read())"
    found = status(f"{threads}give_up(WHILE_TRACING, '65534')\n{show}")
    assert set(found["Uid"].split()) == {"65534"}
    assert int(found["CapEff"], 16) == 0
    assert os.geteuid() == 0
