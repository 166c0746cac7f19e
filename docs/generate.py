"""Writes the generated pages: cli.md from --help, losses.md from the loss files, exit-codes.md from errors.py; the
JSON Schemas from the records in dmlcli/report/; the types of dmlcli.losses, whose classes are found at run time; the
plots of losses, and their number in README.md.

`make docs` writes them; tests/docs/test_generated.py fails where one is stale.
"""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

from dmlcli import errors
from dmlcli import losses as library
from dmlcli.learn import losses
from dmlcli.learn.losses import curves
from dmlcli.pages.loss_plot import loss_plot
from docs import schemas

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
LIBRARIES = ("pytorch-metric-learning", "open-metric-learning", "KaiyangZhou/deep-person-reid")  # with a column each
PLOTS = (
    "The plots show a loss at its default settings, on a batch of an image, an image of its product and one of another "
    "product: the loss, and its slope, while the cosine of the positive or of the negative pair varies. The other pair "
    "keeps its cosine, 0.5 the positive and 0 the negative one. `dmlcli losses triplet:margin=0.5 --plot -` draws a "
    "loss with other settings, in the terminal or into a file."
)
COMMANDS = (
    "train",
    "embed",
    "index",
    "query",
    "eval",
    "compare",
    "sweep",
    "doctor",
    "duplicates",
    "losses",
    "backbones",
    "models",
    "status",
)


def cli() -> str:
    """The help text of every command."""
    parts = ["# The command line", "Generated from `--help` by `make docs`."]
    for command in ("", *COMMANDS):
        line = ["dmlcli", *filter(None, [command]), "--help"]
        environment = os.environ | {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
        arguments = [sys.executable, "-m", *line]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment)
        parts.append(f"## {' '.join(line[:-1])}\n\n```\n{done.stdout.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def loss_table() -> str:
    """What `dmlcli losses` lists, each with its settings and source."""
    known = [losses.describe(name) for name in losses.names()]
    rows = [f"| [{info.name}](#{info.name}) | {info.summary} | {info.family} | {info.sampler} |" for info in known]
    table = "\n".join(["| loss | idea | family | sampler |", "|---|---|---|---|", *rows])
    parts = ["# Losses", "Generated from the loss files by `make docs`.", PLOTS, table]
    for info in known:
        settings = [
            f"| `{s.name}` | {str(s.default).lower()} | {', '.join(s.kinds)} | {s.meaning} |" for s in info.settings
        ]
        parts += [f"## {info.name}", f"{info.summary}.", f"**Use**: {info.use}", f"```\n{info.formula}\n```"]
        if has_plot(info.name):
            parts += [f"![{info.name}: loss and slope over the cosine of a pair]({plot_file(info.name)})"]
        parts += ["\n".join(["| setting | default | takes | meaning |", "|---|---|---|---|", *settings])]
        learned = ", ".join(f"`{p.name}` {p.shape}" for p in info.parameters)
        parts += [f"Learns {learned}, at {info.learning_rate_factor:g} times the learning rate."] if learned else []
        parts += [f"Published Recall@1: {info.published}"] if info.published else []
        parts += [f"Source: {info.source}"]
    return "\n\n".join([*parts, *comparison_table(known), *miner_table()]) + "\n"


def plot_file(name: str) -> str:
    """Where the plot of a loss is, from docs."""
    return f"losses/{name}.svg"


def has_plot(name: str) -> bool:
    """Whether a loss can be drawn."""
    try:
        curves.curve(losses.build(name, curves.LABELS, curves.DIM), [0.0], positive=True)
    except ValueError:
        return False
    return True


def plot(name: str) -> str:
    """What `dmlcli losses NAME --plot` writes."""
    found = curves.curves(name)
    values, slopes = ({kind: one[place] for kind, one in found.items()} for place in (0, 1))
    return loss_plot(name, curves.COSINES, values, slopes).svg()


def plots() -> dict[Path, str]:
    """The plot of every loss that has one."""
    return {DOCS / plot_file(name): plot(name) for name in losses.names() if has_plot(name)}


def comparison_table(known: list[losses.LossInfo]) -> list[str]:
    """Which other implementations each loss equals."""
    rows = []
    for info in known:
        cells = [compared(info.compared, name) for name in (*LIBRARIES, "")]
        rows.append(f"| [{info.name}](#{info.name}) | {' | '.join(cells)} |")
    named = " | ".join(name.rpartition("/")[2] for name in LIBRARIES)
    columns = f"| loss | {named} | others, mostly of the authors |"
    return [
        "# Other implementations",
        "Equal: the same value and gradient in float64 with the same settings. `tests/learn/losses/test_agreement.py` "
        "compares pytorch-metric-learning 2.9 on 1,000 random batches, every loss with its definition by loops, and 15 "
        "losses with formulas in Python alone; `test_miners.py` compares every miner with every loss on 500. "
        "[python.md](python.md) has the settings side by side. "
        "open-metric-learning 4.0 was compared once, on 36 batches; other code when the reference values of "
        "`tests/data/oracle` were recorded. What has a dash was not compared, mostly because the library lacks it.",
        "\n".join([columns, "|---|---|---|---|---|", *rows]),
    ]


def compared(text: str, library: str) -> str:
    """What a section `Compared` says of a library, or of all that have no column of their own for an empty name."""
    items = [item.strip() for item in text.split(";") if item]
    if library:
        found = [item.removeprefix(library).strip() for item in items if item.startswith(library)]
    else:
        found = [item for item in items if not item.startswith(LIBRARIES)]
    return "; ".join(found) or "-"


def miner_table() -> list[str]:
    """What selects pairs and triplets for the losses that take a miner."""
    takers = [f"[{name}](#{name})" for name in losses.names() if losses.describe(name).takes_miners]
    parts = [
        "# Miners",
        "A miner selects the pairs or triplets that a loss looks at: `--loss contrastive:miner=multi-similarity`, with "
        "its settings as `miner.epsilon=0.2`. In Python, a loss also takes them as `pairs=` or `triplets=`.",
        f"Losses that take one: {', '.join(takers)}.",
        "| miner | selects | rule | settings | compared | source |\n|---|---|---|---|---|---|",
    ]
    for name in losses.miners.names():
        info = losses.miners.describe(name)
        settings = "; ".join(f"`{s.name}` {s.default}: {s.meaning}" for s in info.settings)
        rule = info.rule.replace("|", "\\|")
        parts[-1] += f"\n| {name} | {info.summary} | {rule} | {settings} | {info.compared or '-'} | {info.source} |"
    return parts


def exit_codes() -> str:
    """The error tree."""
    tree = inspect.cleandoc(errors.__doc__ or "")
    return f"# Exit codes\n\nGenerated from `dmlcli/errors.py` by `make docs`. 0: done.\n\n```\n{tree}\n```\n"


def readme() -> str:
    """README.md with the number of losses."""
    number = sum(losses.describe(name).family != "regularizer" for name in losses.names())
    text, found = re.subn(r"One of \d+ losses", f"One of {number} losses", README.read_text(encoding="utf-8"))
    assert found == 1, "README.md no longer says how many losses there are"
    return text


def types_of_losses() -> dict[Path, str]:
    """What type checkers and editors see of `dmlcli.losses` and `dmlcli.losses.miners`."""
    folder = DOCS.parent / "dmlcli" / "losses"
    return {
        folder / "__init__.pyi": _stub(library.MODULES | {"miners": library.__name__}),
        folder / "miners.pyi": _stub(library.miners.MODULES),
    }


def _stub(modules: dict[str, str]) -> str:
    """Return a stub that hands out names, each from its module."""
    lines = sorted(f"from {module} import {name} as {name}" for name, module in modules.items())
    return "\n".join(["# Generated by `make docs`.", *lines, "", "MODULES: dict[str, str]"]) + "\n"


def pages() -> dict[Path, str]:
    """Every generated page with its text."""
    named = {DOCS / "cli.md": cli(), DOCS / "losses.md": loss_table(), DOCS / "exit-codes.md": exit_codes()}
    return named | {README: readme()} | schemas.pages() | types_of_losses()


if __name__ == "__main__":
    (DOCS / "losses").mkdir(exist_ok=True)
    for file, text in (pages() | plots()).items():
        file.write_text(text, encoding="utf-8")
