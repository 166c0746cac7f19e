"""`--help` of a command with many options, by heading; without rich, whose import takes longer than all of help."""

from typing import Any

from typer.core import TyperCommand

PANELS = (
    "Input",
    "Catalog",
    "Network",
    "Loss",
    "Optimization",
    "Validation",
    "Index",
    "Protocol",
    "Search",
    "Metrics",
    "Run",
    "Output",
)
_FEW = 15  # options; so few are easier to read in one list


class PanelCommand(TyperCommand):
    """A command whose help lists many options under headings, in a fixed order."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options."""
        parameters = self.get_params(ctx)
        many = sum(parameter.param_type_name == "option" for parameter in parameters) > _FEW
        panels: dict[str, list[tuple[str, str]]] = {name: [] for name in ("Arguments", "Options", *PANELS)}
        for parameter in parameters:
            record = parameter.get_help_record(ctx)
            if record is not None:
                name, text = record[0], record[1].replace("]  [", "; ")  # default and range
                panel = getattr(parameter, "rich_help_panel", None) or "Output"  # only --help has none
                is_argument = parameter.param_type_name == "argument"
                panels["Arguments" if is_argument else panel if many else "Options"].append((name, text))
        for panel, records in panels.items():
            if records:
                with formatter.section(panel):
                    formatter.write_dl(records)
