"""Check that the tests notice when the code is wrong: make one small change to it at a time and run the nearest tests.

    make mutants                                    all changes of tests/mutations.toml
    python tests/mutants.py fsync-of-a-file auc     only those whose names hold one of these words

A change that its tests notice is killed; one that they do not notice survives, and is a gap in the tests. Everything
happens in a copy of the project. Exit codes: 0 all are killed, 1 some survive, 2 the list does not fit the code (a text
is not found exactly once, or a test does not exist or fails without the change).
"""

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIST = ROOT / "tests" / "mutations.toml"
LIMIT = 120.0  # seconds for the tests of one change; longer ones count as killed
COPIED = ("dmlcli", "tests", "sample_data", "docs", "pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")
PASSED, FAILED = 0, 1  # exit codes of pytest; others mean that it could not run the tests
NAME = re.compile(r"[a-z0-9-]+")


class BadList(Exception):
    """The list of changes does not fit the code."""


@dataclass(frozen=True)
class Mutation:
    """One change to the code.

    Attributes:
        name: of the change, lower case with hyphens.
        file: that is changed, from the project's root.
        old, new: the text that is replaced, which must occur exactly once, and what replaces it.
        tests: that must fail with the change: files or test ids, as few as possible.
        harm: what users would see.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    harm: str

    def changed(self, text: str) -> str:
        """Return the content of the file with the change; raises BadList where it cannot be made."""
        if (count := text.count(self.old)) != 1:
            raise BadList(f"{self.name}: the old text occurs {count} times in {self.file}, and must occur once")
        if self.old == self.new:
            raise BadList(f"{self.name}: old and new are the same")
        return text.replace(self.old, self.new)


def read(file: Path = LIST) -> list[Mutation]:
    """Read the list of changes; raises BadList where an entry is incomplete or misnamed."""
    found = []
    for name, entry in tomllib.loads(file.read_text(encoding="utf-8")).items():
        if not NAME.fullmatch(name) or set(entry) != {"file", "old", "new", "tests", "harm"} or not entry["tests"]:
            raise BadList(f"{name}: an entry has a name of a-z, 0-9 and -, and file, old, new, tests and harm")
        found.append(Mutation(name, **(entry | {"tests": tuple(entry["tests"])})))
    return found


def copied(folder: Path) -> Path:
    """Copy what the tests need into a folder; returns the root of the copy."""
    root = folder / "project"
    root.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
        else:
            shutil.copy2(ROOT / name, root / name)
    return root


def run(root: Path, tests: Sequence[str], limit: float) -> tuple[int, str]:
    """Run tests in the copy; returns pytest's exit code and the end of its output. Too long counts as a failure."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                command, cwd=root, env=environment, stdout=output, stderr=output, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired:
            return FAILED, f"longer than {limit:.0f} s"
        output.seek(0)
        return done.returncode, output.read().decode(errors="replace")[-2000:]


def put(file: Path, text: str) -> None:
    """Write a source file and remove its compiled form, which Python tells from another only by size and second."""
    file.write_text(text, encoding="utf-8")
    Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)


class Trial:
    """Tries changes in one copy of the project."""

    def __init__(self, root: Path, limit: float) -> None:
        self._root, self._limit = root, limit
        self._passing: set[tuple[str, ...]] = set()

    def is_killed(self, mutation: Mutation) -> bool:
        """Whether the tests notice the change; raises BadList where they do not pass without it, or cannot run."""
        file = self._root / mutation.file
        if not file.is_file():
            raise BadList(f"{mutation.name}: there is no file {mutation.file}")
        before = file.read_text(encoding="utf-8")
        changed = mutation.changed(before)
        self._check_passing(mutation)
        put(file, changed)
        try:
            code, output = run(self._root, mutation.tests, self._limit)
        finally:
            put(file, before)
        if code not in (PASSED, FAILED) and code > 0:  # below 0: a signal ended it
            raise BadList(f"{mutation.name}: its tests cannot be run with the change:\n{output}")
        return code != PASSED

    def check_passing(self, mutations: Sequence[Mutation]) -> None:
        """Run the tests of all changes at once; where they do not all pass, `is_killed` runs them one by one."""
        tests = sorted({test for one in mutations for test in one.tests})
        if run(self._root, tests, self._limit * len(mutations))[0] == PASSED:
            self._passing.update(one.tests for one in mutations)

    def _check_passing(self, mutation: Mutation) -> None:
        if mutation.tests in self._passing:
            return
        code, output = run(self._root, mutation.tests, self._limit)
        if code != PASSED:
            raise BadList(f"{mutation.name}: its tests do not pass without the change:\n{output}")
        self._passing.add(mutation.tests)


def main(arguments: Sequence[str]) -> int:
    """Try the changes, print a line for each and those that survive; returns the exit code."""
    parser = argparse.ArgumentParser(description="Change the code in one place at a time and see which tests notice.")
    parser.add_argument("words", nargs="*", help="try only changes whose names hold one of these words")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for the tests of one change")
    parser.add_argument("--list", action="store_true", help="print the changes and what each would do")
    asked = parser.parse_args(arguments)
    chosen = [one for one in read() if not asked.words or any(word in one.name for word in asked.words)]
    if not chosen:
        parser.error(f"no change has one of these words in its name: {' '.join(asked.words)}")
    width = max(len(one.name) for one in chosen)
    if asked.list:
        for one in chosen:
            print(f"{one.name:{width}}  {one.file}: {one.harm}")
        return 0
    results: dict[str, str] = {}
    faults = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trial = Trial(copied(Path(folder)), asked.limit)
        trial.check_passing(chosen)
        for one in chosen:
            since = time.monotonic()
            try:
                results[one.name] = "killed" if trial.is_killed(one) else "SURVIVED"
            except BadList as error:
                results[one.name] = "NOT APPLICABLE"
                faults.append(str(error))
            print(f"{one.name:{width}}  {results[one.name]:14}  {time.monotonic() - since:5.1f} s", flush=True)
    counts = Counter(results.values())
    print(f"\n{len(chosen)} changes: {', '.join(f'{count} {result.lower()}' for result, count in counts.items())}")
    for fault in faults:
        print(f"\nerror: {fault}")
    for one in chosen:
        if results[one.name] == "SURVIVED":
            print(f"\nsurvived: {one.name} ({one.file})\n  {one.harm}\n  not noticed by {' '.join(one.tests)}")
    return 2 if faults else int(counts["SURVIVED"] > 0)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BadList as error:
        sys.exit(f"error: {error}")
