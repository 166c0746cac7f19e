"""From a catalog to a trained model.

trainer             one training run from end to end
candidate           a state of the network that was scored
epochs              gradient training in the first fold
refit               the selected candidate, fitted on all photos
stages              what is trained: head, top or the whole backbone
stage_selection     which of them `--tune auto` comes to
loop                the training loop
state               all that changes while training
optimizer, lr_schedule, ema, gradient_cache, cross_batch_memory, diagnostics   parts of it
checkpoint          resuming a run
distributed, worker, launcher   several processes
tensorboard         logging for TensorBoard
dry_run             the time and memory that a run will take
loss_comparison     the same head with several losses, for `compare`
"""
