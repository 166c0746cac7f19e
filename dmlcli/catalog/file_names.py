"""Classification of files and folders by name: images, hidden files, system files."""

from dmlcli.image import SUFFIXES

_FOLDERS = frozenset(
    (
        "@eadir",  # Synology: thumbnails
        "@recycle",  # QNAP: deleted files
        "@recently-snapshot",
        "#recycle",
        "#snapshot",
        "~snapshot",
        "$recycle.bin",
        "recycler",
        "recycled",
        "system volume information",
        "lost+found",
        "found.000",
        "__macosx",  # what macOS packs beside the files
    )
)
_FILES = frozenset(("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "zbthumbnail.info"))


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden: .DS_Store, .thumbnails, .Trash-1000, and the ._… files of macOS."""
    return name.startswith(".")


def is_system_folder(name: str) -> bool:
    """Return whether a folder belongs to a server, a camera or an operating system: @eaDir, $RECYCLE.BIN."""
    return name.lower() in _FOLDERS


def is_system_file(name: str) -> bool:
    """Return whether a file belongs to an operating system or office program: Thumbs.db, ~$list.xlsx."""
    return name.lower() in _FILES or name.startswith("~$")


def is_users(path: str) -> bool:
    """Return whether no part of a path with slashes is hidden or the system's."""
    *folders, file = path.removeprefix("./").split("/")
    return not (
        any(is_hidden(folder) or is_system_folder(folder) for folder in folders)
        or is_hidden(file)
        or is_system_file(file)
    )


def suffix_of(name: str) -> str:
    """Return the suffix of a file's name in lower case, without its dot."""
    return name.rpartition(".")[2].lower() if "." in name else ""


def is_called_image(name: str) -> bool:
    """Return whether a file has the suffix of an image that is read."""
    return suffix_of(name) in SUFFIXES
