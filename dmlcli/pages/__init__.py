"""The pages and images that commands write: HTML with `--html`, contact sheets with `--sheet`, workbooks with `-o`.

hits           queries with their hits
evaluation     the report of `eval`
training       a training run: scores, curves, a map of the products, confused pairs
product_map    positions on the map, and which products are confused
line_chart     axes and positions of lines over epochs
duplicates     groups of near-identical images
rendering      one page of a Jinja2 template in `templates/` and plain data
thumbnails     small images inside a page
contact_sheet  queries and hits as images
workbook       queries and hits as an Excel workbook
fonts          text in images
"""
