"""How `eval` makes its report: queries and gallery, one search, metrics with intervals, and the page.

protocol   which images are queries and which the gallery, chosen from the catalog and the model's own split
judge      one exact search; of each query the ranks and the closest right and wrong image
lists      the same from ranked lists that another tool made
inflation  evidence that leave-one-out only finds the next shot of the same series
insight    per product, per category, worst queries, confused pairs, histograms, the threshold
gates      `--fail-under`, and which metrics were asked for
published  results of the literature
page       all of it as one HTML page
"""
