"""From pixels to vectors.

backbone         torchvision networks as feature extractors, and their poolings
timm_backbones   the same of timm
pretrained       weights from a cache, a download or a file
weights_fetch    weights downloaded for this machine and others
timing           the time that backbones take for an image
identify         which network a file of weights belongs to
descriptor       the built-in features that need no weights
heads            the layers from features to embeddings
lda              heads solved by shrinkage LDA
network          a backbone with its head
split            a backbone in two parts, for `--tune top`
frozen           the backbone as published, as a model
inference        devices, precision and batched forward passes
onnx_export      the graph that queries run without torch
"""
