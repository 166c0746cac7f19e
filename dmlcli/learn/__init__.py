"""Training; only in here is torch imported.

A recipe says what is wanted; networks turn pixels into vectors; data feeds them; validation holds images out and scores
them; training updates the weights; losses are what is minimized; sweep searches for a recipe.

recipe          all settings of a training; setting: how each is declared
recipe_files    published recipes, and those in TOML files
resumed_recipe  the recipe of a run that is resumed
time_budget     `--budget`
backbone_table  the backbones that `dmlcli backbones` lists
"""
