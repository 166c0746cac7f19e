"""The file of `query --output`: what is printed otherwise goes into it, whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from dmlcli import storage
from dmlcli.cli import streams
from dmlcli.errors import CannotRun, UsageError

_FORMATS = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".json": "json", ".xlsx": "xlsx"}


def format_of(output: Path | None, format: str | None) -> str:
    """Return the format of the output: --format, else that of the suffix, else TSV.

    Args:
        output: the file.
        format: as `--format`.

    Raises:
        UsageError: a workbook without a file, or with another suffix.
        CannotRun: the file could not be written, or openpyxl is not installed.
    """
    if output is None:
        raise UsageError("--format xlsx needs a file to write", hint="-o hits.xlsx")
    if str(output) == "-":
        raise UsageError("--output - would write a file of that name", hint="leave out --output to write to stdout")
    found = format or _FORMATS.get(output.suffix.lower(), "tsv")
    if _FORMATS.get(output.suffix.lower(), found) != found or (found == "xlsx") != (output.suffix.lower() == ".xlsx"):
        raise UsageError(
            f"--output {output} does not fit --format {found}",
            hint=f"-o {output.with_suffix('.xlsx')}"
            if found == "xlsx"
            else "leave out --format, or use another suffix",
        )
    storage.check_writable(output, new_folders=False)
    if found == "xlsx":
        from importlib.util import find_spec

        if find_spec("openpyxl") is None:
            raise CannotRun("XLSX needs the library openpyxl", hint="pip install 'dmlcli[excel]', or use --format csv")
    return found


@contextmanager
def printed_to(output: Path) -> Iterator[None]:
    """Write what is printed into a file, which appears once the block ends without an error."""
    with (
        storage.new_file(output) as draft,
        draft.open("w", encoding="utf-8", errors=streams.ERRORS, newline="") as stream,
        redirect_stdout(stream),
    ):
        yield
