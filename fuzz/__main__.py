"""Arguments of ``python -m fuzz``."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from fuzz import corpus
from fuzz.growth import report
from fuzz.seeds import seeds
from fuzz.targets import TARGETS, Target

WORK = Path("build/fuzz")
_LIMITS = (
    "-timeout=90",
    "-rss_limit_mb=0",
    "-malloc_limit_mb=2048",
    "-max_len=4096",
    "-print_final_stats=1",
)


def main() -> int:
    """1 if an input was found that breaks a reader."""
    by_name = {target.name: target for target in TARGETS}
    arguments = _arguments(list(by_name))
    chosen = [by_name[name] for name in arguments.targets] or list(TARGETS)
    if arguments.growth:
        for target in chosen:
            report(target)
        return 0
    broken = [target.name for target in chosen if not _fuzzed(target, arguments.seconds)]
    for name in broken:
        print(f"{name}: see {WORK / name}/broken-*", file=sys.stderr)
    return 1 if broken else 0


def _arguments(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*names, []], metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument(
        "--growth", action="store_true", help="only: how time grows with the input's length"
    )
    return parser.parse_args()


def _fuzzed(target: Target, seconds: int) -> bool:
    """Fuzz a target and keep the smallest set of inputs that reaches as much of the code."""
    home = WORK / target.name
    corpus.unpacked([*corpus.kept(target.name), *seeds(target)], home / "found")
    words = home / "words"
    words.write_text("".join(f"{_quoted(word)}\n" for word in target.words))
    print(f"== {target.name}: {seconds} s", flush=True)
    sound = _engine(
        target,
        f"-max_total_time={seconds}",
        f"-artifact_prefix={home}/broken-",
        *([f"-dict={words}"] if target.words else []),
        *_LIMITS,
        str(home / "found"),
    )
    (home / "least").mkdir(exist_ok=True)
    for old in (home / "least").iterdir():
        old.unlink()
    _engine(target, "-merge=1", *_LIMITS, str(home / "least"), str(home / "found"))
    least = [path.read_bytes() for path in (home / "least").iterdir()]
    print(f"{target.name}: {corpus.keep(target.name, least)} inputs kept", flush=True)
    return sound


def _quoted(word: str) -> str:
    """As the fuzzer's dictionaries write it."""
    inner = "".join(
        character if character.isalnum() or character in " -_=/:." else f"\\x{ord(character):02x}"
        for character in word
    )
    return f'"{inner}"'


def _engine(target: Target, *arguments: str) -> bool:
    """A process of its own: the engine never returns."""
    command = [sys.executable, "-m", "fuzz.engine", target.name, *arguments]
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
