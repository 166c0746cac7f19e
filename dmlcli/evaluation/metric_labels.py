"""Titles of metrics in tables; imported at start-up, so it imports little."""

_NAMES = {
    "map@r": "MAP@R",
    "r_precision": "R-Precision",
    "map": "mAP",
    "mrr": "MRR",
    "minp": "mINP",
    "nmi": "NMI",
    "nmi_geometric": "NMI (geometric)",
    "ami": "AMI",
    "f1": "F1",
    "eer": "EER",
    "auc": "AUC",
    "hit@category": "Hit@category",
    "recall@1_within_category": "Recall@1 within category",
}
_FAMILIES = {
    "recall": "Recall",
    "product_recall": "Product Recall",
    "precision": "P",
    "capped_precision": "Capped P",
    "map": "mAP",
    "cmc": "CMC",
    "cmc_single_shot": "CMC single-shot",
}


def metric_title(name: str) -> str:
    """Return how a metric is written in a table.

    >>> metric_title("recall@10"), metric_title("macro_map@r"), metric_title("fnmr@fmr=0.01")
    ('Recall@10', 'MAP@R by product', 'FNMR@FMR=0.01')
    """
    if name.startswith("macro_"):
        return f"{metric_title(name.removeprefix('macro_'))} by product"
    family, at, k = name.partition("@")
    if name in _NAMES:
        return _NAMES[name]
    return f"{_FAMILIES[family]}{at}{k}" if family in _FAMILIES else name.upper()
