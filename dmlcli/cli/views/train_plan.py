"""Plan of a training run (`train --dry-run`)."""

from dmlcli.cli import formatting, next_step
from dmlcli.learn.recipe import Recipe
from dmlcli.report.train_plan import PlanReport


def show(report: PlanReport) -> None:
    """Show it as text."""
    usual = vars(Recipe())
    asked = [f"{name} {value}" for name, value in report.recipe.items() if value != usual[name]]
    rows = [
        ("catalog", f"{formatting.count(report.images, 'image')} of {formatting.count(report.products, 'product')}"),
        *(("unusual", note) for note in report.unusual),
        ("validation", report.validation),
        ("recipe", f"{report.recipe['loss']} on {report.recipe['backbone']}, --tune {report.recipe['tune']}"),
        *([("next stage", report.next_stage)] if report.next_stage else []),
        ("non-default settings", ", ".join(asked) or "nothing"),
        *((name, formatting.seconds(part)) for name, part in report.parts.items()),
        ("total", f"about {formatting.seconds(report.seconds)}; training may stop earlier"),
        ("memory", f"about {report.memory / 2**30:.1f} GB"),
    ]
    formatting.facts(rows)
    formatting.hint(next_step.again(without="--dry-run"))
