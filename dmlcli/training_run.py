"""What `dmlcli train` does: train, embed and index with the new model, make it the current one, and report."""

import time
from dataclasses import dataclass
from pathlib import Path

from dmlcli import model_history, model_switch
from dmlcli.catalog import Catalog
from dmlcli.embeddings import Embeddings
from dmlcli.errors import Interrupted
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import TimeBudget
from dmlcli.learn.training import train
from dmlcli.report.train import TrainReport
from dmlcli.runs import Run


@dataclass(frozen=True)
class Destination:
    """Where the model goes, and whether the catalog is indexed with it."""

    model: Path
    index: bool
    arguments: str  # what is typed after `dmlcli train` and `dmlcli index`, for hints


def carry_out(
    catalog: Catalog, recipe: Recipe, run: Run, destination: Destination, device: str, time_budget: TimeBudget
) -> tuple[TrainReport, Embeddings | None]:
    """Train on a catalog and make the model the current one; return the report, and the embeddings if it is indexed.

    Args:
        catalog: the photos.
        recipe: all settings.
        run: entered by `with`; it is finished here unless it is interrupted.
        destination: of the model.
        device: `auto`, `cpu`, `cuda` or `mps`.
        time_budget: when training should end.

    Raises:
        Interrupted: by Ctrl-C, once the best model so far is saved.
    """
    started, workspace, target = time.perf_counter(), run.workspace, destination.model
    trained = train(catalog, recipe, run, device, time_budget=time_budget)
    model, named = model_history.adopt(workspace.models, trained.model), destination.arguments
    if trained.interrupted:
        model_history.place(workspace.models, model, target)
        raise Interrupted(
            f"interrupted; the best model so far ({trained.origin}) is saved in {target}",
            hint=f"dmlcli train {named} --resume continues; dmlcli index {named} indexes with the model so far",
        )
    switched = model_switch.switch(
        catalog, model, workspace, target, embedded=trained.embedded, index=destination.index
    )
    validation = trained.validation
    report = TrainReport(
        run=run.record.id,
        model=str(target),
        fingerprint=model.record.fingerprint,
        images=len(catalog.items),
        products=len({item.product for item in catalog.items} - {""}),
        validation=validation.summary,
        frozen_score=validation.frozen_score,
        score=validation.score,
        chosen=trained.origin,
        seconds=time.perf_counter() - started,
        index=str(workspace.index) if destination.index else None,
        caution=model.record.caution,
        skipped=tuple(dict.fromkeys([*catalog.skipped, *trained.skipped, *switched.skipped])),
        searches=validation.searches,
        product_recall=validation.product_recall,
        reason=validation.reason,
        replaced=None if switched.replaced is None else str(switched.replaced),
    )
    keys = ("chosen", "score", "frozen_score", "seconds", "fingerprint")
    run.finish({key: getattr(report, key) for key in keys})
    return report, switched.embeddings
