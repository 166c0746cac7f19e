"""Ownership check: settings and workspaces found automatically must belong to the user.

Anyone who can write to a folder above yours could put a `dmlcli.toml` or a `.dmlcli` there. The rule is git's for
`safe.directory`: the owner must be the current user; root also accepts the user who called sudo. What is named (-w,
DMLCLI_WORKSPACE) is not checked. DMLCLI_SAFE_DIRECTORY lists folders that are trusted all the same.
"""

import os
from pathlib import Path

from dmlcli.arguments import expand_home
from dmlcli.errors import CannotRun

VARIABLE = "DMLCLI_SAFE_DIRECTORY"


def check_owner(path: Path, what: str, option: str = "") -> None:
    """Raise CannotRun where a file that was found belongs to another user, and its folder is not listed as safe.

    Args:
        path: the file or folder; of a symbolic link, the link itself is checked.
        what: what it is, for the message: "settings".
        option: the option that names it instead, for the hint.

    Raises:
        CannotRun: its owner is neither this user nor, for root, the one who called sudo.
    """
    owner = path.lstat().st_uid
    if owner in _trusted_users() or _is_listed(path.parent):
        return
    named = f"{option} {path}, or " if option else ""
    raise CannotRun(
        f"{path} belongs to {_name(owner)}, and you are {_name(os.geteuid())}: its {what} are not used",
        hint=f"if you trust it: {named}{VARIABLE}='{path.parent}' (several with '{os.pathsep}' between; * for all)",
    )


def _trusted_users() -> set[int]:
    users = {os.geteuid()}
    caller = os.environ.get("SUDO_UID", "")
    if users == {0} and caller.isascii() and caller.isdigit():
        users.add(int(caller))
    return users


def _is_listed(folder: Path) -> bool:
    """Return whether DMLCLI_SAFE_DIRECTORY holds the folder, one above it with /* at its end, or *."""
    for listed in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        if listed == "*":
            return True
        above = listed.endswith("/*")
        trusted = os.path.realpath(expand_home(listed.removesuffix("/*")))
        real = os.path.realpath(folder)
        if real == trusted or (above and Path(real).is_relative_to(trusted)):
            return True
    return False


def _name(user: int) -> str:
    import pwd

    try:
        return f"{pwd.getpwuid(user).pw_name} (user {user})"
    except KeyError:
        return f"user {user}"
