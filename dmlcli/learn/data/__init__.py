"""What networks are fed with.

augmentation      views of an image: fixed ones for caches, random ones for training
loader            images of files in batches
samplers          which images form a batch
class_balance     samplers and weights for catalogs whose products differ in size
feature_cache     features of the frozen backbone, kept in the workspace
activation_cache  feature maps at the split of a backbone, kept in the workspace
"""
