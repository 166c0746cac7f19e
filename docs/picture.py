"""Draw docs/query.svg: a query on the sample catalog, as a terminal shows it.

Run in a folder whose workspace was trained on sample_data/catalog, copied there as `catalog`, with a photo `img.jpg`.
"""

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 92


def main() -> None:
    """Run `dmlcli query img.jpg -k 5` and record what it prints."""
    command = "dmlcli query img.jpg -k 5"
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    arguments = [sys.executable, "-m", *command.split(), "--format", "table"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment)
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"\x1b[1m$ {command}\x1b[0m\n{done.stdout.rstrip()}"))
    console.save_svg(str(Path(__file__).with_name("query.svg")), title="dmlcli", clear=False)


if __name__ == "__main__":
    main()
