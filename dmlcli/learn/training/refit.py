"""What follows once a candidate is selected: a fit on all photos, and the threshold for unknown products."""

from dataclasses import replace

import numpy as np
import torch

from dmlcli.learn.data.loader import features_of
from dmlcli.learn.networks.heads import BlendHead
from dmlcli.learn.networks.inference import forward_of, search_dtype
from dmlcli.learn.networks.network import Network
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training import stage_selection
from dmlcli.learn.training.candidate import Trial
from dmlcli.learn.training.diagnostics import check_finite
from dmlcli.learn.training.loop import fit
from dmlcli.learn.training.stages import fill
from dmlcli.learn.validation.folds import fitted_in_the_end
from dmlcli.learn.validation.head_selection import initial_network, new_head
from dmlcli.learn.validation.open_set import REFUSED, Strangers
from dmlcli.learn.validation.plan import Plan
from dmlcli.learn.validation.training_data import Material


def closeness(planned: Plan, best: Trial, recipe: Recipe) -> dict[str, float] | None:
    """The cosine that the photos of new products stay below, as model.json keeps it; None where nobody knows.

    That is where rehearsals hold out no products (`--for known`), and with a backbone that was trained, whose features
    would have to be computed once more.
    """
    found, lesson = planned.strangers, planned.lessons[0]
    if best.trained:  # epochs are judged in the first rehearsal
        strangers = Strangers(lesson)
        found = []
        if strangers and best.depth == "head":
            head = new_head(lesson, recipe)
            head.load_state_dict({name.removeprefix("head."): value for name, value in best.state.items()})
            found = [strangers.threshold_of(head, lesson)]
    if not found:
        return None
    return {"refused": REFUSED, "threshold": float(np.mean(found)), "rehearsals": len(found)}


def finish(
    material: Material,
    planned: Plan,
    best: Trial,
    recipe: Recipe,
    device: torch.device,
    *,
    again: bool = True,
) -> Network:
    """The network that ships: what was rehearsed, on all photos, those included that were held out.

    The closed form is solved anew, a head or a last stage trained anew for as long as it took; a backbone that was
    trained as a whole stays as it is.

    Args:
        again: False where time is up: a last stage stays as it is too.
    """
    whole = material.lesson(fitted_in_the_end(material.photos.items, material.split), {})
    network = initial_network(material, whole, planned.setting, recipe)
    if not best.trained:
        return network
    if best.depth == "head" or (best.depth == "top" and again):
        asked = replace(stage_selection.at_depth(recipe, best.depth), epochs=best.trained)
        course = stage_selection.course_of(network, whole, planned.setting, asked, device)
        for _ in fit(course.embed, course.learner, course.feed):
            pass
        with course.learner.averaged():
            _, state = course.judge()  # which takes the means that are recalled
        check_finite(
            "in the final fit on all photos", weights=(part for part in state.values() if part.is_floating_point())
        )
        network.load_state_dict(state, strict=False)
        return network.eval()
    trained = {name: value for name, value in best.state.items() if name.startswith("backbone")}
    network.load_state_dict(trained, strict=False)
    if isinstance(network.head, BlendHead):
        cpu = torch.device("cpu")
        forward = forward_of(network.headless(), cpu, search_dtype(cpu))
        features = features_of(whole.files, network.image, forward)
        fill(network.head, features, whole, planned.setting)
    return network
