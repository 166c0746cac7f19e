"""Training; only in here is torch imported.

A recipe says what is wanted; networks turn pixels into vectors; data feeds them; validation holds images out and scores
them; training updates the weights; losses are what is minimized.

recipe        all settings of a training, from options and TOML
spec_strings  the grammar `name:key=value,key=value`
time_budget   `--budget`
"""
