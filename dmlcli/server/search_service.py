"""From a request to an answer: photos are encoded in the background, the search runs in a thread."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from dmlcli import prefetch
from dmlcli.errors import CannotRun, DmlcliError, UsageError, nearest
from dmlcli.report.query import Answer, Columns
from dmlcli.search import encoding, query_options
from dmlcli.search.encoding import Encoded
from dmlcli.search.query_engine import QueryEngine
from dmlcli.search.query_inputs import QueryInput, indexed
from dmlcli.search.query_options import QueryOptions
from dmlcli.server.agreement import agreement
from dmlcli.server.open_index import Opened, OpenIndex
from dmlcli.server.search_request import SearchRequest

BY_ID = "id:"  # before the number of an image
_AHEAD = 16  # photos of a batch that are encoded before their turn
T = TypeVar("T")


class Found(NamedTuple):
    """An answer, with the index that it is of."""

    answer: Answer
    columns: Columns
    opened: Opened
    name: str  # of the index


class SearchService:
    """Answers requests over one or several indexes."""

    def __init__(self, indexes: Sequence[OpenIndex]) -> None:
        self.indexes = {index.name: index for index in indexes}
        # one core fewer than there are: others decode and encode; threads share a connection if SQLite was built for it
        self._pool = ThreadPoolExecutor(max(1, prefetch.cores() - 1) if sqlite3.threadsafety == 3 else 1, "search")

    def index(self, name: str | None) -> OpenIndex:
        """Return an index by its name, the first one for None; raises UsageError for an unknown name."""
        if name is None:
            return next(iter(self.indexes.values()))
        if name not in self.indexes:
            raise UsageError(f"unknown index {name}", hint=nearest(name, list(self.indexes)))
        return self.indexes[name]

    async def in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """Return what a function returns that reads an index."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    async def search(self, wanted: SearchRequest) -> Found:
        """Return the answer to a search; raises DmlcliError."""
        index = self.index(wanted.parameters.index)
        opened, options = index.opened, wanted.options
        if options.crop == "each":
            raise UsageError("crop=each gives several answers", hint="send the photo to /v1/search/batch")
        (answer,), columns = await self._answered(opened, options, wanted.photos, wanted.parameters.like)
        return Found(answer, columns, opened, index.name)

    async def match(self, wanted: SearchRequest, number: int) -> dict[str, Any]:
        """Return where a photo and an image of the index agree.

        Raises:
            KeyError: the index has no such image.
            CannotRun: the model has no maps.
        """
        opened = self.index(wanted.parameters.index).opened
        if not wanted.photos:
            raise UsageError("a match needs a photo", hint="send it as to /v1/search")
        if wanted.options.crop is not None:
            raise UsageError("a match needs the part of the photo", hint="crop=x,y,width,height, as in the answer")
        return await self.in_thread(_agreement, opened, wanted.photos[0], number)

    async def search_each(self, wanted: SearchRequest) -> AsyncIterator[Found | tuple[str, DmlcliError]]:
        """Yield the answers to each photo in order (crop=each gives several), or its name and why it has none."""
        index = self.index(wanted.parameters.index)
        opened, options = index.opened, wanted.options
        waiting: deque[tuple[str, asyncio.Future[tuple[list[Answer], Columns]]]] = deque()
        photos = iter(wanted.photos)
        try:
            for _ in wanted.photos:
                for photo in islice(photos, _AHEAD - len(waiting)):
                    waiting.append((photo.name, self._answered(opened, options, [photo])))
                name, answered = waiting.popleft()
                try:
                    answers, columns = await answered
                except DmlcliError as error:
                    yield name, error
                    continue
                for answer in answers:
                    yield Found(answer, columns, opened, index.name)
        finally:
            for _, answered in waiting:
                answered.cancel()

    def _answered(
        self, opened: Opened, options: QueryOptions, photos: Sequence[QueryInput], like: str | None = None
    ) -> "asyncio.Future[tuple[list[Answer], Columns]]":
        """Return the future answers to photos, or to an indexed product or image.

        The search follows the encoding of the last photo without a turn of the event loop in between.
        """
        encoder = opened.encoder
        if encoder is None or options.crop is not None or not photos:
            return asyncio.wrap_future(self._pool.submit(_answers, opened, options, photos, like))
        answered: Future[tuple[list[Answer], Columns]] = Future()
        encoded = [encoder.submit(photo) for photo in photos]

        def search() -> None:
            if not answered.set_running_or_notify_cancel():
                return
            try:
                answered.set_result(_search(opened, options, [done.result() for done in encoded]))
            except BaseException as error:
                answered.set_exception(error)

        # photos are encoded in order, so the last one is ready after all others
        encoded[-1].add_done_callback(lambda _: self._pool.submit(search))
        return asyncio.wrap_future(answered)

    def close(self) -> None:
        """End the threads of searches."""
        self._pool.shutdown(cancel_futures=True)


def _answers(
    opened: Opened, options: QueryOptions, photos: Sequence[QueryInput], like: str | None
) -> tuple[list[Answer], Columns]:
    """Encode photos with their crops, and search with them; or search with an indexed product or image.

    Raises:
        CannotRun: the index names no model, or its model has no maps to find crops with.
    """
    if like is not None:
        named = indexed(_named(opened, like), opened.session.gallery, opened.session.items)
        return _search(opened, options, [Encoded(named._replace(name=like, photo=None), named.vector)])
    if opened.encoder is None:
        raise CannotRun("this index was made from embeddings without a model, so photos cannot be searched with")
    assert options.crop is not None  # photos without crops are encoded together
    return _search(opened, options, [opened.encoder.with_crops(photo, options.crop) for photo in photos])


def _search(opened: Opened, options: QueryOptions, encoded: Sequence[Encoded]) -> tuple[list[Answer], Columns]:
    """Search with vectors; raises ImageError for a photo that has none."""
    for done in encoded:
        if done.failure is not None:
            raise done.failure
    gallery, items = opened.session.gallery, opened.session.items
    minus, right, wrong = (
        tuple(_named(opened, name) for name in given) for given in (options.minus, options.right, options.wrong)
    )
    options = options._replace(minus=minus, right=right, wrong=wrong)
    plan, moves, columns = query_options.resolve(options, gallery, items, opened.model, files=False)
    light = [done._replace(source=QueryInput(done.source.name)) for done in encoded]  # without the bytes of photos
    return list(QueryEngine(gallery, items, plan, encoding.known).answers_to(light, moves, None)), columns


def _agreement(opened: Opened, photo: QueryInput, number: int) -> dict[str, Any]:
    explainer = opened.matches.explainer()
    return agreement(explainer, photo.read_bytes(), opened.session.items.photo(number).read_bytes())


def _named(opened: Opened, name: str) -> str:
    """Return the name of a product, or the path in the index of an image that is named by its id (id:17)."""
    number = name.removeprefix(BY_ID)
    if number == name or not number.isdecimal() or len(opened.session.items.of_product(name)):
        return name
    root = opened.session.gallery.root
    try:
        path = opened.session.items.photo(int(number)).path
    except (KeyError, OverflowError) as error:
        raise UsageError(f"the index has no image {name}") from error
    return str(path.relative_to(root) if path.is_relative_to(root) else path)  # as it is stored
