"""Worker processes of a training on several devices: they run the epochs of the main process on their shards."""

from dataclasses import dataclass
from typing import Any, NoReturn

import torch

from dmlcli import dist_env
from dmlcli.errors import UsageError
from dmlcli.learn.networks.inference import pick_device
from dmlcli.learn.networks.lda import HeadParams
from dmlcli.learn.networks.network import Network
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training import distributed, stage_selection
from dmlcli.learn.validation.training_data import Fold


@dataclass(frozen=True)
class WorkerTask:
    """What the main process sends the workers, so that all start from the same stage."""

    network: Network
    fold: Fold
    head_params: HeadParams
    recipe: Recipe
    state: dict[str, Any]  # of the trainer
    final: bool = False  # the final fit, whose state is used after its last epoch


def run_worker(device: torch.device) -> None:
    """Run the epochs of each stage that the main process sends, until it sends none."""
    with distributed.process_group():
        nothing: WorkerTask | None = None
        while (task := distributed.broadcast(nothing)) is not None:
            stage = stage_selection.make_stage(task.network, task.fold, task.head_params, task.recipe, device)
            stage.trainer.load_state_dict(task.state)
            for _ in stage.fit():
                if not task.final and distributed.broadcast(True):
                    stage.averaged_evaluation()
            if distributed.broadcast(True):  # the state after the last epoch, if it has no score yet
                stage.averaged_evaluation()


def run_and_exit(device: str) -> NoReturn:
    """Run the part of a worker process in `dmlcli train`, and end the process."""
    with dist_env.a_part():
        run_worker(pick_device(device))
    raise SystemExit(0)


def check_shareable(recipe: Recipe, device: torch.device) -> None:
    """Raise UsageError where the training cannot be shared between the processes of this run."""
    count, hint = dist_env.world(), "leave --processes out"
    if count == 1:
        return
    if recipe.tune == "none":
        raise UsageError("--tune none trains nothing that several processes could share", hint=hint)
    if recipe.batch_size < count:
        raise UsageError(
            f"--batch-size {recipe.batch_size} is too small for {count} processes",
            hint=f"--batch-size {count} at the least",
        )
    free = recipe.batch_norm == "free" and recipe.tune != "head"
    if (free or recipe.head == "bnneck") and (device.type != "cuda" or recipe.tune == "head"):
        raise UsageError(
            f"{'--batch-norm free' if free else '--head bnneck'} looks at whole batches, "
            "which PyTorch shares between processes on GPUs alone (SyncBatchNorm)",
            hint=f"--batch-norm frozen and --head linear; or {hint}",
        )
