"""What the other processes of a shared training do: the epochs of the main process, on their part of each batch."""

from dataclasses import dataclass
from typing import Any

import torch

from dmlcli.learn.networks.lda import HeadParams
from dmlcli.learn.networks.network import Network
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training import distributed, stage_selection
from dmlcli.learn.training.loop import fit
from dmlcli.learn.validation.training_data import Fold


@dataclass(frozen=True)
class WorkerTask:
    """What the main process sends the others: all that an equal stage starts from."""

    network: Network
    fold: Fold
    head_params: HeadParams
    recipe: Recipe
    state: dict[str, Any]  # of the learner


def run_worker(device: torch.device) -> None:
    """Take part in the epochs of the main process, until it has no more of them."""
    with distributed.process_group():
        nothing: WorkerTask | None = None
        while (task := distributed.broadcast(nothing)) is not None:
            stage = stage_selection.make_stage(task.network, task.fold, task.head_params, task.recipe, device)
            stage.trainer.load_state_dict(task.state)
            for _ in fit(stage.embed, stage.trainer, stage.feed):
                with stage.trainer.averaged():
                    stage.evaluate()
