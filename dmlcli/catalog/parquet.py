"""Parquet tables; the images are files, not cells."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlcli import progress
from dmlcli.catalog.columns import text_of, usual_column
from dmlcli.catalog.table_data import Table
from dmlcli.errors import CannotRun, CatalogError

if TYPE_CHECKING:
    import pyarrow


def read_parquet(file: Path) -> Table:
    """Read a Parquet file.

    Raises:
        CannotRun: pyarrow is not installed.
        CatalogError: the file cannot be read, or the images are inside it.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise CannotRun(
            f"reading {file} needs the library pyarrow", hint="pip install 'dmlcli[parquet]', or save it as CSV"
        ) from error
    try:
        table = parquet.read_table(file)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise CatalogError(f"{file} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    columns: dict[str, list[str]] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        cells = _cells(file, name, column)
        if cells is not None:
            columns[name] = cells
    return Table(file, columns, range(1, table.num_rows + 1), unit="row")


def _cells(file: Path, name: str, column: "pyarrow.ChunkedArray") -> list[str] | None:
    """Return a column as text; None for bytes, which are left out.

    Raises:
        CatalogError: the column has the images themselves.
    """
    import pyarrow

    kind = column.type
    known: dict[str, str] = {}  # equal cells become one object
    if pyarrow.types.is_struct(kind) and {"bytes", "path"} <= {field.name for field in kind}:
        return _paths_of_images(file, name, column.to_pylist())
    if pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind) or pyarrow.types.is_fixed_size_binary(kind):
        if usual_column("image", [name]):
            raise _inside(file, name)
        progress.note(f"skipped column {name} of {file}, which contains bytes")
        return None
    return [known.setdefault(cell, cell) for cell in map(text_of, column.to_pylist())]


def _paths_of_images(file: Path, name: str, images: list[dict[str, Any] | None]) -> list[str]:
    """Return the paths of a column of Hugging Face's image type, where the images are not in the table."""
    if any(image and image["bytes"] for image in images):
        raise _inside(file, name)
    return [(image or {}).get("path") or "" for image in images]


def _inside(file: Path, name: str) -> CatalogError:
    return CatalogError(
        f"column {name} of {file} contains embedded images, which are not supported",
        hint="write each image to a file and its path into the column: "
        'for n, row in enumerate(dataset): row["image"].save(f"photos/{n}.png")',
    )
