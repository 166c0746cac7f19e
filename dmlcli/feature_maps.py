"""Names of the maps in an inference graph, which its features are pooled from."""

LAST, EARLIER = "last_map", "earlier_map"  # (V B, C, h, w) of the backbone: the last one, the last one twice its size
COARSE, FINE = "coarse_cells", "fine_cells"  # (V B, D, h, w) of the descriptor: neighborhoods of its cells
MAPS = (LAST, EARLIER, COARSE, FINE)

# how they are pooled, by torch for the embeddings and by numpy for parts of an image
MAX_SHARE, EARLIER_SHARE = 0.7, 0.5  # lengths beside the means of the last map, which are of length 1
FINE_SHARE = 0.7  # length of the fine matrix beside the coarse one
CONSTANT = 0.3  # a number that is the same everywhere: its moments with the others are their means
MIDDLE = 2.0  # a neighborhood weighs exp(-2 r^2), where r is 1 at the middle of the border
LEAST = 1e-3  # of the mean variance, added to each
ROUNDS = 6  # of Newton and Schulz
