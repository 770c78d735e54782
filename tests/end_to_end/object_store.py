"""An object store that fails as a test wants; a real one cannot do this."""

import asyncio

from aiohttp import web

from tests.end_to_end import photos

_ERROR = "<Error><Code>{}</Code><Message>no</Message></Error>"
_OK = (200, "")


class ObjectStore:
    """Speaks as much S3 as a claim check needs; every object is a picture without a face.

    Attributes:
        answer: status and code for every object.
        answers: status and code of single objects, by key.
        listed: keys that a listing has; None when the store may not be listed.
        hanging: keys of objects that are never answered.
        asked: how many objects were asked for.
    """

    def __init__(self):
        self.answer = (503, "SlowDown")
        self.answers = {}
        self.listed = None
        self.hanging = frozenset()
        self.asked = 0
        app = web.Application()
        app.add_routes([web.get("/{bucket}", self._list), web.get("/{bucket}/{key:.+}", self._get)])
        self._runner = web.AppRunner(app, handler_cancellation=True)

    async def __aenter__(self):
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_error):
        await self._runner.cleanup()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _get(self, request):
        self.asked += 1
        if request.match_info["key"] in self.hanging:
            await asyncio.Event().wait()
        status, code = self.answers.get(request.match_info["key"], self.answer)
        if (status, code) == _OK:
            return web.Response(body=photos.nobody(), content_type="image/jpeg")
        return _xml(status, _ERROR.format(code))

    async def _list(self, _request):
        if self.listed is None:
            return _xml(403, _ERROR.format("AccessDenied"))
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00Z</LastModified>"
            "<Size>9</Size></Contents>"
            for key in self.listed
        )
        return _xml(200, f"<ListBucketResult>{entries}</ListBucketResult>")


def _xml(status, text):
    return web.Response(status=status, text=text, content_type="application/xml")
