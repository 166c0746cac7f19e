"""Which parameters move at which pace, and the optimizer that moves them."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from dmlcli.learn import losses
from dmlcli.learn.recipe import Recipe
from dmlcli.spec_strings import Spec

Groups = list[dict[str, Any]]


def build(recipe: Recipe, groups: Groups) -> torch.optim.Optimizer:
    """Return the optimizer of the recipe; each group brings its own learning rate and decay."""
    spec = recipe.optimizer_spec
    if spec.word == "sgd":
        momentum, nesterov = spec.number("momentum"), spec.flag("nesterov")
        return torch.optim.SGD(groups, momentum=momentum, nesterov=nesterov, fused=_fused(groups))
    betas, eps, fused = (spec.number("beta1"), spec.number("beta2")), spec.number("eps"), _fused(groups)
    if spec.word == "adam":
        amsgrad = spec.flag("amsgrad")
        return torch.optim.Adam(groups, betas=betas, eps=eps, amsgrad=amsgrad, fused=fused)
    return torch.optim.AdamW(groups, betas=betas, eps=eps, fused=fused)


def groups(recipe: Recipe, head: nn.Module, backbone: nn.Module | None, loss: nn.Module) -> Groups:
    """Return the parameter groups: the head, the backbone by depth, and the loss's parameters at the rate it states.

    Parameters that are frozen now stay out.

    Args:
        recipe: learning rates and weight decay.
        head: the trained part of the head.
        backbone: None: not trained.
        loss: with its parameters.
    """
    rate, decay = recipe.learning_rate, recipe.weight_decay
    found: Groups = [{"params": list(head.parameters()), "lr": rate, "weight_decay": decay}]
    if backbone is not None:
        by_depth = depths(backbone)
        for depth, members in sorted(by_depth.items()):
            slower = recipe.layer_decay ** (max(by_depth) - depth)
            found.append({"params": members, "lr": rate * recipe.backbone_factor * slower, "weight_decay": decay})
    for group in losses.parameter_groups(loss, rate):
        found.append(group if recipe.loss_factor is None else group | {"lr": rate * recipe.loss_factor})
    trained = [group | {"params": [p for p in group["params"] if p.requires_grad]} for group in found]
    return [group for group in trained if group["params"]]


def depths(backbone: nn.Module) -> dict[int, list[nn.Parameter]]:
    """Return the parameters of a backbone by depth: 0 what comes before its first numbered block, then block by block.

    Blocks are recognized by their names, which end in a digit (`layer3`, `features.7`, `encoder_layer_11`); what
    follows the last one (a final norm) belongs to it.
    """
    found: dict[int, list[nn.Parameter]] = defaultdict(list)
    blocks: list[str] = []
    for name, parameter in backbone.named_parameters():
        block = re.match(r"(?:[^.]*[^.\d]\.)*[^.]*\d(?=\.)", name)
        if block and block[0] not in blocks:
            blocks.append(block[0])
        found[len(blocks)].append(parameter)
    return dict(found)


def clip(spec: Spec, parameters: Iterable[nn.Parameter]) -> None:
    """Hold the gradients within what the recipe allows, by value of each entry or by norm of all of them."""
    if spec.word == "value":
        most = spec.number("max")
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.clamp_(-most, most)  # one look at it, where torch's own function takes two
    elif spec.word == "norm":
        nn.utils.clip_grad_norm_(parameters, spec.number("max"))


def _fused(groups: Groups) -> bool:
    """Return whether all parameters lie where one kernel can move them: on a CPU or a CUDA GPU."""
    return all(p.device.type in ("cpu", "cuda") for group in groups for p in group["params"])
