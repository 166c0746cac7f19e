"""From a catalog to a trained model.

trainer             one training run from end to end
candidate           a state of the network that was scored
current_model       the current model in the folds of a new one, after the catalog has changed
epochs              gradient training in the first fold
refit               the selected candidate, fitted on all photos
stages, backbone_stages   what is trained: the head, the last stage of the backbone, or all of it
stage_selection     which stages `--tune auto` trains
loss_setup          the loss, with proxies at the means of their products
loop                the training loop
state               all that changes while training
optimizer, lr_schedule, ema, gradient_cache, cross_batch_memory, diagnostics   parts of it
checkpoint          resuming a run
distributed, worker, launcher   several processes
tensorboard         logging for TensorBoard
dry_run             the time and memory that a run will take
loss_comparison     the same head with several losses, for `compare`
backbone_comparison   the same folds with several backbones, for `compare --backbones`
"""

from dmlcli.learn.training.current_model import CurrentScores
from dmlcli.learn.training.trainer import TrainedModel, ValidationResult, train

__all__ = ["CurrentScores", "TrainedModel", "ValidationResult", "train"]
