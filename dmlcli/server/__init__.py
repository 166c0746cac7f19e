"""The search as a web server; only in here are FastAPI, uvicorn, prometheus_client and httpx imported.

settings         addresses, token and limits of a server
photo_encoder    photos to vectors, in batches that form under load
open_index       an index that stays open, and is opened again when it changes
search_request   what a client may ask for, and how its body is read
search_service   from a request to an answer, in threads
answer_json      answers as JSON without any path of the disk
agreement        where a photo and an image of the index agree
item_photos      photos of the index by id, re-encoded
url_photos       photos behind public URLs
measures         numbers for Prometheus
guards           token, origin, limits and headers around all routes
routes           the routes of the API and of the page
app              the application: guards and routes together
connections      uvicorn with a time limit for slow clients
client           the other end: queries that a running server answers; needs no library
run              start, serve until a signal, drain
page/            the page: HTML, CSS and JavaScript
"""
