"""Addresses, access and indexes of a server."""

from typing import TYPE_CHECKING, Annotated

from dmlcli.options.spec import Option

if TYPE_CHECKING:  # what a caller in Python may pass
    from dmlcli.arguments import Names as _Names
else:  # what the command line reads
    _Names = list[str] | None

ServedIndexes = Annotated[
    _Names,
    Option(
        "--index",
        panel="Input",
        help="Index folder or milvus://host:19530/collection; NAME=PATH gives it a name. Can be repeated.  "
        "[default: that of the workspace]",
    ),
]
Host = Annotated[
    str, Option("--host", panel="Run", help="Address to listen on; others than this machine's own need --token.")
]
Port = Annotated[int, Option("--port", panel="Run", min=0, max=65535, help="Port to listen on; 0: any free one.")]
Token = Annotated[
    str | None, Option("--token", panel="Run", help="Token that clients must send; better set as DMLCLI_SERVE_TOKEN.")
]
ShowPaths = Annotated[bool, Option("--show-paths", panel="Output", help="Answers contain the paths of image files.")]
AllowUrls = Annotated[
    bool, Option("--allow-urls", panel="Input", help="Clients may search with photos at public URLs.")
]
