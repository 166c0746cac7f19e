"""The pages and images that commands write: HTML with `--html`, a contact sheet with `--sheet`.

hits           queries with their hits
evaluation     the report of `eval`
training       a training run: scores, curves, a map of the products, confused pairs
product_map    positions on the map, and which products are confused
line_chart     positions of lines over epochs
rendering      one page of a Jinja2 template in `templates/` and plain data
thumbnails     small images inside a page
contact_sheet  queries and hits as one image
fonts          text in images
"""
