"""The checks of `doctor` and `duplicates`, one kind per file; torch is not imported here.

perceptual_hash  a photo in a few bytes: what its header says, and a hash of what it shows
scan             all photos of a catalog through threads into arrays
image_files      one photo by itself: unreadable, odd size, odd mode
duplicates       two photos that are one: duplicates, one photo under two products, across splits
series           shots of one session: which belong together, and whether that shows in the photos
product_counts   products: one photo only, one name in two categories, how many photos each
identity         two entries that are one file
same_picture     photos of a group that show one picture
near_duplicates  two vectors that are nearly one: groups of an index
"""
