"""The generated pages say what the code says."""

from docs import generate


def test_generated_pages_are_fresh() -> None:
    stale = [file.name for file, text in generate.pages().items() if file.read_text(encoding="utf-8") != text]
    assert not stale, f"run `make docs`: {', '.join(stale)}"
