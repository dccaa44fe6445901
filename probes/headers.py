"""A header tree of a few kilobytes that stands in for the kernel's headers under BCC.

BCC force-includes ``linux/kconfig.h`` and names a handful of others; the probes
themselves read kernel memory through offsets (``fields``) and need none.
``$BCC_KERNEL_SOURCE`` points BCC at the tree while it compiles.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "BCC_KERNEL_SOURCE"

_KCONFIG = """#ifndef VIPTRACE_KCONFIG_H
#define VIPTRACE_KCONFIG_H
#define CONFIG_BPF_SYSCALL 1
#define IS_ENABLED(option) 0
#endif
"""

_TYPES = """#ifndef VIPTRACE_TYPES_H
#define VIPTRACE_TYPES_H
typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u8 u8;
typedef __s8 s8;
typedef __u16 u16;
typedef __s16 s16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u16 __le16;
typedef __u32 __le32;
typedef __u64 __le64;
typedef __u16 __sum16;
typedef __u32 __wsum;
typedef __u64 __aligned_u64 __attribute__((aligned(8)));
typedef unsigned long uintptr_t;
typedef unsigned long size_t;
typedef long ssize_t;
typedef int pid_t;
typedef _Bool bool;
#define true 1
#define false 0
#ifndef NULL
#define NULL ((void *)0)
#endif
#endif
"""

_EMPTY = (
    *("linux/bpf_common.h", "linux/ptrace.h", "linux/compiler.h"),
    *("uapi/linux/bpf.h", "uapi/linux/if_packet.h", "uapi/linux/if_ether.h"),
    *("uapi/linux/ptrace.h", "asm/ptrace.h"),
)


def write_tree(root: Path, version_code: int) -> None:
    """Write the tree below ``root``."""
    page = mmap.PAGESIZE
    texts = {
        "linux/kconfig.h": _KCONFIG,
        "linux/types.h": _TYPES,
        "linux/version.h": f"#define LINUX_VERSION_CODE {version_code}\n"
        "#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))\n",
        "linux/log2.h": "#define roundup_pow_of_two(n) "
        "((n) <= 1 ? 1UL : 1UL << (64 - __builtin_clzl((unsigned long)(n) - 1)))\n",
        "asm/page.h": f"#define PAGE_SIZE {page}\n#define PAGE_SHIFT {page.bit_length() - 1}\n",
        **dict.fromkeys(_EMPTY, "#include <linux/types.h>\n"),
    }
    for name, text in texts.items():
        path = root / "include" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def version_code(release: str) -> int:
    """``LINUX_VERSION_CODE`` of a release text such as ``6.1.0-56-amd64``."""
    numbers = [
        int("".join(filter(str.isdigit, part)) or 0) for part in release.split("-")[0].split(".")
    ]
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return (major << 16) + (minor << 8) + min(patch, 255)


@contextmanager
def synthetic(release: str) -> Iterator[None]:
    """While inside, BCC compiles against a synthetic tree in a temporary folder."""
    before = os.environ.get(VARIABLE)
    with tempfile.TemporaryDirectory(prefix="viptrace-") as folder:
        write_tree(Path(folder), version_code(release))
        os.environ[VARIABLE] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = before


def installed(root: Path, release: str) -> Path | None:
    """Where BCC will find this kernel's own headers, if they are there."""
    places = [root / "lib/modules" / release / "build"]
    if VARIABLE in os.environ:
        places.insert(0, Path(os.environ[VARIABLE]))
    return next((place for place in places if (place / "include").is_dir()), None)
