"""Numbers about the server in the text format of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from dmlcli.server.open_index import OpenIndex

MEDIA_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Measures:
    """Counts requests and their times; one registry for each server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "dmlcli_requests", "Requests by route and status.", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "dmlcli_request_seconds", "Time of a request.", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self.open = Gauge("dmlcli_open_requests", "Requests that are being answered.", registry=self.registry)
        self.photos = Counter("dmlcli_photos", "Photos that were searched with.", registry=self.registry)
        self._images = Gauge("dmlcli_index_images", "Images in an index.", ["index"], registry=self.registry)

    def text(self, indexes: list[OpenIndex]) -> bytes:
        """Return all numbers."""
        for index in indexes:
            self._images.labels(index.name).set(index.opened.session.gallery.images)
        return generate_latest(self.registry)
