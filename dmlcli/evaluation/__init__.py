"""Evaluation of a search: queries and gallery, exact search, metrics with intervals, report.

inputs          what the command line asks for: catalogs, embeddings or ranked lists
protocol        which images are queries and which the gallery, from the catalog and the model's own split
product_names   whether both sides name their products alike
measure         one search and its metrics
query_results   of each query the ranks, and the closest relevant and other image
ranked_lists    the same from ranked lists that another tool made
reranked        the same after re-ranking
leakage         evidence that leave-one-out only finds the next shot of the same series
error_analysis  per product, per category, worst queries, confused pairs, histograms, thresholds
min_scores      `--fail-under`, and which metrics were selected
metric_labels   what metrics are called in tables
published       results of the literature
reliability     how well confidences agree with the share of right answers
report_builder  from measurements to the report
"""
