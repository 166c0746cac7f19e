"""The pages and images that commands write: HTML with `--html`, a contact sheet with `--sheet`.

base           the frame of a page, and text made safe for it
hits           queries with their hits
training       curves, a map of the products, confusions
evaluation     the report of `eval`
contact_sheet  queries and hits as one image
fonts          text in images
"""
