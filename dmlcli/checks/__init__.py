"""What is wrong with a catalog, one kind of check a file; no torch in here.

fingerprint.py   a photo in a few bytes: what its header says, and a hash of what it shows
scan.py          all photos of a catalog through threads into arrays
files.py         one photo by itself: unreadable, odd size, odd mode
copies.py        two photos that are one: duplicates, one photo under two products, across splits
series.py        shots of one session: who belongs to which, and whether that shows in the pictures
products.py      products: one photo only, one name in two categories, how many photos each
identity.py      two entries that are one file
same_picture.py  photos of a group that show one picture
likeness.py      two vectors that are nearly one: groups of an index
"""
