"""The C header and the NumPy dtype describe the same bytes and the same numbers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import probes
from probes.loader import RECORD_BYTES, SLOT_BYTES
from tracer.events import EVENT, Flag, Hook
from tracer.sources.kernel import SLOT

HEADER = Path(probes.__file__).parent / "bpf" / "event.h"


@pytest.fixture(scope="module")
def c_says(tmp_path_factory):
    """Name -> number, as the host's C compiler sees event.h."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler")
    text = HEADER.read_text()
    names = re.findall(r"\b(?:HOOK|FLAG)_\w+(?=\s*=)", text)
    lines = [f'printf("{name} %ld\\n", (long){name});' for name in names]
    lines += [
        f'printf("{field} %ld\\n", (long)offsetof(struct viptrace_event, {field}));'
        for field in EVENT.names
    ]
    lines.append('printf("sizeof %ld\\n", (long)sizeof(struct viptrace_event));')
    folder = tmp_path_factory.mktemp("layout")
    source = folder / "layout.c"
    source.write_text(
        f'#include <stdio.h>\n#include <stddef.h>\n#include "{HEADER}"\n'
        f"int main(void) {{ {' '.join(lines)} return 0; }}\n"
    )
    subprocess.run([compiler, "-o", folder / "layout", source], check=True)
    out = subprocess.run([folder / "layout"], check=True, capture_output=True, text=True).stdout
    return {name: int(number) for name, number in map(str.split, out.splitlines())}


def test_the_record_is_two_cache_lines(c_says):
    assert c_says["sizeof"] == EVENT.itemsize == RECORD_BYTES == 128
    assert SLOT.itemsize == SLOT_BYTES


def test_every_field_lies_where_the_dtype_says(c_says):
    assert {name: c_says[name] for name in EVENT.names} == {
        name: EVENT.fields[name][1] for name in EVENT.names
    }


@pytest.mark.parametrize(("prefix", "enum"), [("HOOK_", Hook), ("FLAG_", Flag)])
def test_the_numbers_are_the_same(c_says, prefix, enum):
    in_c = {n.removeprefix(prefix): v for n, v in c_says.items() if n.startswith(prefix)}
    assert in_c == {member.name: member.value for member in enum}
