"""Words that were retired in favor of the field's terms (docs/glossary.md) do not come back."""

import re
import subprocess

import pytest

from tests.places import ROOT

RETIRED = re.compile(
    r"\b(lessons?|matters?|rehears\w*|strangers?|errands?|told|ships|heeded|closed form)\b", re.IGNORECASE
)
TITLES = ("Sampling Matters in Deep Embedding Learning",)  # of papers
FOLDERS = ("dmlcli", "tests", "docs", "benchmarks", "sample_data", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def texts() -> list[str]:
    """Return the paths of all tracked texts, without recorded data and this test."""
    command = ["git", "ls-files", *(f"{folder}" for folder in FOLDERS)]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    suffixes = (".py", ".md", ".toml", ".sh", ".html", ".css", ".js")
    return [path for path in listed if path.endswith(suffixes) and path != "tests/docs/test_language.py"]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout: the tracked files are not known")
def test_retired_words_do_not_come_back() -> None:
    found = []
    for path in texts():
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
            for title in TITLES:
                line = line.replace(title, "")
            found += [f"{path}:{number}: {match[0]}" for match in RETIRED.finditer(line.replace("_", " "))]
    assert not found, "\n".join(found)


def test_the_glossary_is_in_order_and_has_each_term_once() -> None:
    lines = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    terms = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")][1:]
    assert len(terms) > 20 and terms == sorted(terms, key=str.lower) and len(terms) == len(set(terms))
