"""What is held out, and how it is scored.

folds              which rows are fitted on and which are scored, in each fold
training_data      features of all photos, and the part of them that a fold uses
scoring            MAP@R of the searches of a fold
head_selection     the hyperparameters of the LDA head, by cross-validation
plan               all that cross-validation found
synthetic_queries  augmented images as queries, where no photo can be held out
open_set           the threshold for products that are not in the catalog
"""
