"""Embedding formats of other tools: npz, npy, parquet, JSON Lines, and clip-retrieval's folder.

Whatever is read is brought to unit length; what made it is not known. Parquet needs pyarrow (the extra `parquet`).
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlcli import progress, storage
from dmlcli.catalog import Item
from dmlcli.embeddings import store
from dmlcli.embeddings.embeddings import Embeddings, FileState
from dmlcli.embeddings.store import DAMAGE, DType
from dmlcli.errors import CannotRun, EmbeddingsError
from dmlcli.types import Vectors

SUFFIXES = (".npz", ".npy", ".parquet", ".jsonl")  # of files of embeddings
_PATHS = ("path", "image_path", "image", "file", "key")  # names of a column of paths
_PRODUCTS = ("product", "label")
_NPZ_VECTORS = ("embeddings", "embedding", "features", "feats", "vectors", "emb", "X")  # names of the array
_NPZ_PATHS = ("paths", "filenames", "files", "image_paths", "names", "path", "filename")
_NPZ_PRODUCTS = ("labels", "products", "targets", "label", "product", "target", "y")
_AT_ONCE = 1 << 22  # bytes of vectors that are brought to unit length at once
_PARTS, _TABLES = "img_emb", "metadata"  # the folders of clip-retrieval
CLIP_RETRIEVAL = (_PARTS, _TABLES)  # what such a folder holds


def open_embeddings(path: Path) -> Embeddings:
    """Open embeddings of any format; raises EmbeddingsError where there are none or they are damaged."""
    path = storage.restore(Path(path))
    try:
        if path.is_dir():
            return _open_clip_retrieval(path) if _is_clip_retrieval(path) else store.open_folder(path)
        readers = {".npy": _open_npy, ".parquet": _open_parquet, ".jsonl": _open_jsonl}
        return readers.get(path.suffix, _open_npz if path.is_file() else store.open_folder)(path)
    except FileNotFoundError as error:
        raise EmbeddingsError(f"no embeddings found in {path}", hint="dmlcli embed CATALOG") from error
    except DAMAGE as error:
        if path.is_dir() and not _is_clip_retrieval(path):
            message, hint = f"the embeddings in {path} are damaged: {error}", "dmlcli embed CATALOG"
        else:
            message, hint = (
                f"cannot read embeddings from {path}: {error}",
                "see docs/formats.md for the expected content",
            )
        raise EmbeddingsError(message, hint=hint) from error


def is_embeddings(path: Path) -> bool:
    """Return whether a path given on the command line means embeddings (and not a catalog)."""
    path = Path(path)
    if path.suffix in (".npz", ".npy"):
        return True
    if path.is_file() and path.suffix == ".jsonl":
        with path.open("rb") as stream:
            return b'"embedding"' in stream.readline()
    if path.is_file() and path.suffix == ".parquet":
        try:
            return "embedding" in _parquet().read_schema(path).names
        except (OSError, ValueError):
            return False
    return (path / store.RECORD).exists() or _is_clip_retrieval(path)


def save_file(file: Path, embeddings: Embeddings, dtype: DType = "float32") -> None:
    """Write embeddings atomically as one file, in the format of its suffix.

    Args:
        file: with suffix .npz, .npy, .parquet or .jsonl.
        embeddings: at least one row.
        dtype: of the stored vectors.

    Raises:
        EmbeddingsError: no rows; the existing file is kept.
        CannotWrite: the file cannot be written.
    """
    store.check_some(file, embeddings)
    writers = {".npz": save_npz, ".npy": _save_npy, ".parquet": _save_parquet, ".jsonl": _save_jsonl}
    writers[file.suffix](file, embeddings, dtype)


def save_npz(file: Path, embeddings: Embeddings, dtype: DType = "float32") -> None:
    """Write embeddings as one .npz file with the arrays embeddings (N, D), labels (N,) and paths (N,).

    Args:
        file: the file.
        embeddings: the rows.
        dtype: of the stored vectors.
    """
    with storage.new_file(file) as draft, draft.open("wb") as stream:
        np.savez(
            stream,
            embeddings=embeddings.vectors.astype(dtype, copy=False),
            labels=np.array(embeddings.products),
            paths=np.array(_paths(embeddings)),
        )


def save_clip_retrieval(folder: Path, embeddings: Embeddings) -> None:
    """Write embeddings as clip-retrieval does: img_emb/img_emb_0.npy (float16) and metadata/metadata_0.parquet."""
    _parquet()  # before anything is written
    store.check_some(folder, embeddings)
    with storage.new_folder(folder, CLIP_RETRIEVAL) as draft:
        (draft / _PARTS).mkdir()
        (draft / _TABLES).mkdir()
        store.write_vectors(draft / _PARTS / "img_emb_0.npy", embeddings.vectors, "float16")
        _write_parquet(
            draft / _TABLES / "metadata_0.parquet", {"image_path": _paths(embeddings)} | _columns(embeddings)
        )


def _save_npy(file: Path, embeddings: Embeddings, dtype: DType) -> None:
    with storage.new_file(file) as draft:
        store.write_vectors(draft, embeddings.vectors, dtype)


def _save_parquet(file: Path, embeddings: Embeddings, dtype: DType) -> None:
    _parquet()
    with storage.new_file(file) as draft:
        columns: dict[str, Any] = {"path": _paths(embeddings)} | _columns(embeddings)
        _write_parquet(draft, columns, embeddings.vectors.astype(dtype, copy=False))


def _save_jsonl(file: Path, embeddings: Embeddings, dtype: DType) -> None:
    digits = 4 if dtype == "float16" else 8
    with storage.new_file(file) as draft, draft.open("w", encoding="utf-8", errors="surrogateescape") as stream:
        columns = _columns(embeddings)
        for row, (path, vector) in enumerate(zip(_paths(embeddings), embeddings.vectors, strict=True)):
            record: dict[str, Any] = {"path": path} | {name: values[row] for name, values in columns.items()}
            record["embedding"] = [round(float(x), digits) for x in vector]
            stream.write(json.dumps(record) + "\n")


def _paths(embeddings: Embeddings) -> list[str]:
    return [str(embeddings.root / item.path) for item in embeddings.items]


def _columns(embeddings: Embeddings) -> dict[str, list[str]]:
    own = list(dict.fromkeys(name for item in embeddings.items for name, _ in item.columns))
    columns = {"product": embeddings.products, "category": [item.category for item in embeddings.items]}
    tables = [dict(item.columns) for item in embeddings.items]
    return columns | {name: [table.get(name, "") for table in tables] for name in own if name not in (*columns, "path")}


def _open_npz(file: Path) -> Embeddings:
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        if not hasattr(arrays, "files"):
            raise ValueError("it is a single array, not an archive of arrays; name such a file .npy")
        names = {role: _array_name(file, arrays.files, role, usual) for role, usual in _NPZ_ROLES.items()}
        found = {role: _array(file, arrays, name) for role, name in names.items() if name is not None}
    if "vectors" not in found:
        raise EmbeddingsError(
            f"{file} contains no embeddings: its arrays are {', '.join(arrays.files) or 'none'}",
            hint="np.savez(file, embeddings=matrix, labels=products, paths=paths)",
        )
    texts = {role: [str(value) for value in found[role]] for role in ("paths", "products") if role in found}
    return _foreign(file, found["vectors"], texts.get("paths"), texts.get("products"))


_NPZ_ROLES = {"vectors": _NPZ_VECTORS, "paths": _NPZ_PATHS, "products": _NPZ_PRODUCTS}


def _array_name(file: Path, names: Sequence[str], role: str, usual: Sequence[str]) -> str | None:
    """Return the array that holds the vectors, paths or products, by its usual names; None where there is none.

    Raises:
        EmbeddingsError: several arrays have such a name, and none has the first one.
    """
    found = [name for name in usual if name in names]
    if len(found) > 1 and found[0] != usual[0]:
        raise EmbeddingsError(
            f"{file} has several arrays that may be the {role}: {', '.join(found)}",
            hint=f"name the correct one '{usual[0]}'",
        )
    return found[0] if found else None


def _array(file: Path, arrays: Any, name: str) -> NDArray[Any]:
    try:
        return np.asarray(arrays[name])
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise EmbeddingsError(
            f"the array '{name}' of {file} holds Python objects, which are not loaded because that can run code",
            hint=f"save it as text or numbers: {name}=np.array({name}, dtype=str)",
        ) from error


def _open_npy(file: Path) -> Embeddings:
    return _foreign(file, np.load(file, mmap_mode="r", allow_pickle=False), None, None)


def _open_jsonl(file: Path) -> Embeddings:
    rows: list[dict[str, Any]] = []
    with file.open(encoding="utf-8", errors="surrogateescape") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                rows.append(json.loads(line))
                if not isinstance(rows[-1], dict) or "embedding" not in rows[-1]:
                    raise EmbeddingsError(f"line {number} of {file} is not an object with 'embedding'")
    if not rows:
        raise EmbeddingsError(f"{file} is empty")
    vectors = np.array([row.pop("embedding") for row in rows], dtype=np.float32)
    return _foreign(file, vectors, *_named({name: [row.get(name) for row in rows] for name in rows[0]}))


def _open_parquet(file: Path) -> Embeddings:
    table = _parquet().read_table(file)
    column = table.column("embedding").combine_chunks()
    vectors = np.asarray(column.flatten()).reshape(len(column), -1)
    return _foreign(file, vectors, *_named(table.drop_columns(["embedding"]).to_pydict()))


def _is_clip_retrieval(folder: Path) -> bool:
    return (folder / _PARTS).is_dir() and any((folder / _PARTS).glob("*.npy"))


def _open_clip_retrieval(folder: Path) -> Embeddings:
    """Return the parts in the order of their numbers; a part and its table must have the same number of rows."""
    parts, paths, products = [], [], []
    for file in sorted((folder / _PARTS).glob("*.npy"), key=_number):
        parts.append(np.load(file, mmap_mode="r", allow_pickle=False))
        tables = [table for table in (folder / _TABLES).glob("*.parquet") if _number(table) == _number(file)]
        first = sum(map(len, parts[:-1]))
        found = _named(_parquet().read_table(tables[0]).to_pydict()) if tables else (None, None)
        paths += found[0] or [f"row {first + row}" for row in range(len(parts[-1]))]
        products += found[1] or [""] * len(parts[-1])
        if not len(paths) == len(products) == first + len(parts[-1]):
            raise ValueError(f"{file.name} and {tables[0].name} have different numbers of rows")
    return _foreign(folder, np.concatenate(parts), paths, products)


def _number(file: Path) -> int:
    return int((re.findall(r"\d+", file.stem) or ["0"])[-1])


def _named(columns: dict[str, Any]) -> tuple[list[str] | None, list[str] | None]:
    """Return the paths and the products of a table, None where it has none."""

    def first(names: Sequence[str]) -> list[str] | None:
        found = next((columns[name] for name in names if name in columns), None)
        return None if found is None else ["" if value is None else str(value) for value in found]

    return first(_PATHS), first(_PRODUCTS)


def _foreign(source: Path, vectors: NDArray[Any], paths: list[str] | None, products: list[str] | None) -> Embeddings:
    """Return validated rows of another tool, normalized to unit length."""
    count = len(vectors) if vectors.ndim else 0
    paths = [f"row {row}" for row in range(count)] if paths is None else paths
    products = [""] * count if products is None else products
    if vectors.dtype.kind not in "fiu":
        raise ValueError(f"embeddings of {vectors.dtype} are not real numbers")
    if vectors.ndim != 2 or not vectors.shape[1] or not count == len(products) == len(paths):
        raise ValueError(
            f"embeddings {vectors.shape}, {len(products)} labels and {len(paths)} paths do not go together"
        )
    unit, zeros = _unit(vectors)
    if zeros:
        progress.warn(f"{zeros} embeddings of {source} are zero vectors, which match nothing")
    items = [Item(path, product) for path, product in zip(paths, products, strict=True)]
    return Embeddings(Path(), items, [FileState(0, 0, "")] * count, unit, "")


def _unit(vectors: NDArray[Any]) -> tuple[Vectors, int]:
    """Return the rows (N, D) at unit length, a few at a time and in place where that can be; and how many are zero."""
    in_place = vectors.dtype == np.float32 and vectors.flags.writeable and vectors.flags.c_contiguous
    unit = vectors if in_place else np.empty(vectors.shape, np.float32)
    step, zeros = max(1, _AT_ONCE // (8 * vectors.shape[1])), 0
    for start in range(0, len(vectors), step):
        block = vectors[start : start + step].astype(np.float64)
        if not np.isfinite(block).all():
            raise ValueError("there are NaN or infinite values")
        lengths = np.linalg.norm(block, axis=1, keepdims=True)
        zeros += int((lengths == 0).sum())
        unit[start : start + step] = block / np.where(lengths == 0, 1, lengths)
    return unit, zeros


def _write_parquet(file: Path, columns: dict[str, Any], vectors: NDArray[Any] | None = None) -> None:
    import pyarrow as pa

    arrays = {name: pa.array([_utf8(value) for value in values]) for name, values in columns.items()}
    if vectors is not None:
        arrays["embedding"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    _parquet().write_table(pa.table(arrays), file)


def _utf8(value: str) -> str:
    """Return a name as UTF-8, the only encoding of Parquet."""
    return os.fsencode(value).decode("utf-8", errors="replace")


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise CannotRun("parquet needs the library pyarrow", hint="pip install 'dmlcli[parquet]'") from error
    return pyarrow.parquet
