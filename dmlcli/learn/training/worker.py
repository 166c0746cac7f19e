"""What the other processes of a shared training do: the epochs of the main process, on their part of each batch."""

from dataclasses import dataclass
from typing import Any

import torch

from dmlcli.learn.networks.lda import Setting
from dmlcli.learn.networks.network import Network
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training import distributed, stage_selection
from dmlcli.learn.training.loop import fit
from dmlcli.learn.validation.training_data import Lesson


@dataclass(frozen=True)
class Errand:
    """What the leader of several processes hands the others: all that an equal course starts from."""

    network: Network
    lesson: Lesson
    setting: Setting
    recipe: Recipe
    state: dict[str, Any]  # of the learner


def follow(device: torch.device) -> None:
    """Take part in the epochs that another process leads, in its `trials`, until it has no more of them."""
    with distributed.joined():
        nothing: Errand | None = None
        while (errand := distributed.told(nothing)) is not None:
            course = stage_selection.course_of(errand.network, errand.lesson, errand.setting, errand.recipe, device)
            course.learner.load_state_dict(errand.state)
            for _ in fit(course.embed, course.learner, course.feed):
                with course.learner.averaged():
                    course.judge()
