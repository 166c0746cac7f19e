"""`dmlcli sweep`: a search for a better recipe, on the cached features of the frozen backbone.

space         which settings are tried, and in which ranges
poolings      the features of smaller poolings, taken out of those of the largest
nested        the photos that the search never sees, and the folds by which it scores recipes
study         Optuna: trials in an SQLite file that several processes share
run           the search from end to end
"""
