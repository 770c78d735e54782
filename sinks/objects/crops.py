"""The object store: crops of faces, and images that came by claim check."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from time import monotonic
from typing import Any, ClassVar, NamedTuple

from aiobotocore.config import AioConfig
from aiobotocore.response import AioReadTimeoutError
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.httpsession import get_cert_path

from config.network.sockets import watched_socket
from config.settings import S3Settings
from domain.object_keys import (
    CROPS,
    FRAMES,
    UPLOADS,
    face_of_crop,
    split_dataref,
    uploaded_key,
)
from domain.personal_data import (
    Cutoffs,
    DataSubject,
    FacePart,
    FaceParts,
    References,
    Traces,
)
from sinks.objects.fast_put import DirectPuts
from sinks.objects.no_redirects import DirectSession, Redirected
from sinks.objects.s3_errors import code_of, described, is_fault, is_the_stores
from sinks.objects.store_probe import OtherObjects
from sinks.sink import Connected
from sinks.store_errors import ObjectFault, StoreDenied, StoreFault, StoreRejected, StoreUnavailable

#: A new server may answer before it can store: how long `Crops.ensure_bucket` insists, in seconds.
_BUCKET_PATIENCE = 10.0
_BUCKET_PAUSE = 0.2

#: S3 deletes at most so many objects in one request.
_DELETE_BATCH = 1000

_NOT_FOUND = frozenset({"NoSuchKey", "NotFound", "404"})
_BUCKET_IS_THERE = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})

#: Codes with which a store may deny access to a single object of a claim check.
_DENIED = frozenset({"403", "AccessDenied", "Forbidden"})


# A placeholder for a key when only the address of the bucket is needed.
_ANY_KEY = "key"


class StoredObject(NamedTuple):
    """An object as a listing has it; the time is that of its last write."""

    key: str
    written_at: datetime


class Crops(Connected, FaceParts):
    """Reads and writes one bucket, over one pool of connections.

    Use it as an async context manager, or call `connect` and `close`. All methods raise the
    errors of `sinks.store_errors`.
    """

    receipt_name = "s3"
    erased_places: ClassVar = {
        CROPS: "crops of enrolled faces and of sightings are deleted",
        UPLOADS: "photos sent in to enrol the user are deleted",
    }
    kept_places: ClassVar = {
        FRAMES: "it is unknown whom a frame shows; the reconciler deletes frames by age",
    }

    def __init__(self, settings: S3Settings) -> None:
        """Take the settings; nothing is connected yet."""
        self.bucket = settings.bucket
        self.store = f"S3 {settings.endpoint_url or settings.region}/{settings.bucket}"
        self._settings = settings
        self._readable = frozenset({settings.bucket, *settings.claim_check_buckets})
        self._others = OtherObjects(settings.connect_timeout)
        self._places = asyncio.Semaphore(settings.max_connections)
        self._exit = AsyncExitStack()
        self._opened: Any = None
        self._puts: DirectPuts | None = None

    async def connect(self) -> None:
        """Make the client; the store itself is first asked by the first call."""
        if self._opened is not None:
            return
        settings = self._settings
        proxy = settings.proxy
        session = get_session()
        self._opened = await self._exit.enter_async_context(
            session.create_client(
                "s3",
                region_name=settings.region,
                endpoint_url=settings.endpoint_url,
                aws_access_key_id=settings.access_key_id,
                aws_secret_access_key=settings.secret_access_key.get_secret_value(),
                verify=str(settings.tls.ca_file) if settings.tls.ca_file else None,
                config=AioConfig(
                    http_session_cls=DirectSession,
                    connector_args={"socket_factory": watched_socket},
                    client_cert=_certificate(settings),
                    # Both avoid work on every request; together they make a put a quarter cheaper.
                    user_agent="fecapass",
                    # By default, botocore would use the environment's proxy; with other defaults,
                    # it would ask the cloud where it runs.
                    proxies={"http": proxy, "https": proxy} if proxy else {},
                    defaults_mode="legacy",
                    parameter_validation=False,
                    connect_timeout=settings.connect_timeout,
                    read_timeout=settings.read_timeout,
                    max_pool_connections=settings.max_connections,
                    # The callers retry for as long as it takes; here only a dropped connection.
                    retries={"mode": "standard", "total_max_attempts": 2},
                    s3={"addressing_style": _addressing(settings)},
                    # Other makers' servers need not know AWS's newer checksums.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
        )
        signed = await self._opened.generate_presigned_url(
            "put_object", {"Bucket": self.bucket, "Key": _ANY_KEY}
        )
        bucket_url = signed.partition("?")[0].removesuffix(_ANY_KEY)
        if proxy is None:
            authorities = session.get_config_variable("ca_bundle") or get_cert_path(True)
            puts = DirectPuts(settings, bucket_url, authorities)
            self._puts = await self._exit.enter_async_context(puts)

    async def close(self) -> None:
        """Close all connections."""
        self._opened = self._puts = None
        await self._exit.aclose()

    async def ping(self) -> None:
        """Check the bucket.

        Raises:
            StoreUnavailable: the store does not answer, or has no such bucket.
        """
        async with self._client("ping") as client:
            try:
                await client.head_bucket(Bucket=self.bucket)
            except ClientError as error:
                raise StoreUnavailable(self.store, "ping", described(error)) from error

    async def ensure_bucket(self) -> bool:
        """Make the bucket unless it is there; insists for some seconds while a server starts.

        Returns:
            Whether it was made.
        """
        deadline = monotonic() + _BUCKET_PATIENCE
        while True:
            try:
                return await self._make_bucket()
            except StoreUnavailable:
                if monotonic() > deadline:
                    raise
            await asyncio.sleep(_BUCKET_PAUSE)

    async def put(self, key: str, data: bytes, content_type: str = "image/jpeg") -> None:
        """Store an object; the same key again overwrites it."""
        async with self._client("put an object") as client:
            if self._puts is not None:
                await self._puts.put(key, data, content_type)
            else:
                await client.put_object(
                    Bucket=self.bucket, Key=key, Body=data, ContentType=content_type
                )

    async def put_many(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Store JPEGs by key, at most as many at once as there are connections.

        Raises:
            StoreUnavailable: at least one could not be stored; others may have been.
        """
        await _all_of(self.put(key, data) for key, data in items)

    async def get(self, key: str) -> bytes:
        """Read an object.

        Raises:
            StoreRejected: ``not_found``: there is none.
        """
        return await self._read("get an object", self.bucket, key, max_bytes=None)

    async def exists(self, key: str) -> bool:
        """Whether there is an object with this key."""
        async with self._client("look for an object") as client:
            try:
                await client.head_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if code_of(error) in _NOT_FOUND:
                    return False
                raise
        return True

    async def pages(self, prefix: str) -> AsyncIterator[list[StoredObject]]:
        """Every object below a prefix, a page of at most a thousand at a time, in no sure order.

        What is written or deleted in the meantime may or may not come.

        Args:
            prefix: ends with ``/`` unless a part of a name is meant.
        """
        following: dict[str, str] = {}
        while True:
            async with self._client("list objects") as client:
                page = await client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **following)
            contents = page.get("Contents", ())
            if contents:
                yield [StoredObject(one["Key"], one["LastModified"]) for one in contents]
            if not page.get("IsTruncated"):
                return
            following = {"ContinuationToken": page["NextContinuationToken"]}

    async def url(self, key: str, expires: int) -> str:
        """A presigned address of an object, for programs that have no credentials.

        Args:
            key: the object.
            expires: lifetime of the address, in seconds.
        """
        async with self._client("sign an address") as client:
            address: str = await client.generate_presigned_url(
                "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=expires
            )
        return address

    async def delete_many(self, keys: Iterable[str]) -> None:
        """Delete objects; those that are not there are no error."""
        pending = list(keys)
        for start in range(0, len(pending), _DELETE_BATCH):
            batch = [{"Key": key} for key in pending[start : start + _DELETE_BATCH]]
            async with self._client("delete objects") as client:
                answer = await client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": batch, "Quiet": True}
                )
            if failed := answer.get("Errors"):
                raise StoreUnavailable(
                    self.store,
                    "delete objects",
                    f"{len(failed)} of {len(batch)} were not deleted: {failed[0].get('Code')}",
                )

    async def traces(self, user: DataSubject) -> Traces:
        """Crops and photos of a user, among those that other stores know of."""
        crops, photos = await self._of(user.known)
        return _traces(crops, photos)

    async def erase(self, user: DataSubject) -> Traces:
        """Delete a user's crops and photos, among those that other stores know of."""
        crops, photos = await self._of(user.known)
        await self.delete_many([*crops, *photos])
        return _traces(crops, photos)

    async def expire(self, before: Cutoffs) -> Traces:
        """Delete the crops whose rows were too old."""
        await self.delete_many(before.known.crop_keys)
        return Traces({"crops": len(before.known.crop_keys)})

    async def face_parts(self, before: datetime, limit: int) -> AsyncIterator[Sequence[FacePart]]:
        """Crops, in pages of a thousand at most; objects with other names are left alone."""
        async for page in self.pages(CROPS):
            old = [one.key for one in page if one.written_at < before]
            parts = [
                FacePart(face_id, "crop", key) for key in old if (face_id := face_of_crop(key))
            ]
            for start in range(0, len(parts), limit):
                yield parts[start : start + limit]

    async def discard(self, parts: Sequence[FacePart]) -> None:
        """Delete crops."""
        await self.delete_many(one.crop_key for one in parts if one.crop_key)

    async def _of(self, known: References) -> tuple[list[str], list[str]]:
        """Keys of the crops and of the photos that are there."""
        photos = {uploaded_key(dataref, self.bucket) for dataref in known.datarefs}
        for event in known.upload_events:
            async for page in self.pages(f"{UPLOADS}{event}"):
                photos.update(one.key for one in page)
        return await self._existing(known.crop_keys), await self._existing(photos - {None})

    async def _existing(self, keys: Collection[str | None]) -> list[str]:
        """Those of these objects that are there; as many are asked for as there are connections."""
        asked = sorted(key for key in keys if key)
        there = await asyncio.gather(*(self.exists(key) for key in asked))
        return [key for key, is_there in zip(asked, there, strict=True) if is_there]

    async def fetch(self, dataref: str, max_bytes: int) -> bytes:
        """Read the image that a claim check names.

        Args:
            dataref: ``s3://bucket/key``, as the ``ce_dataref`` attribute has it.
            max_bytes: larger ones are refused before they are read.

        Raises:
            StoreRejected: ``bad_dataref``, ``forbidden_bucket``, ``not_found`` or ``too_large``.
            StoreDenied: the store denies access to it.
            ObjectFault: the store fails over it, and serves others.
        """
        operation = "fetch a claim check"
        named = split_dataref(dataref)
        if named is None:
            raise StoreRejected(
                self.store, operation, "it is not s3://bucket/key", reason="bad_dataref"
            )
        bucket, key = named
        if bucket not in self._readable:
            raise StoreRejected(
                self.store,
                operation,
                f"bucket {bucket} may not be read; FECAPASS_S3__CLAIM_CHECK_BUCKETS names others",
                reason="forbidden_bucket",
            )
        try:
            data = await self._read(operation, bucket, key, max_bytes)
        except StoreFault as fault:
            async with self._client(operation) as client:
                if not await self._others.are_served(client, bucket, key):
                    raise
            detail = f"{fault.detail}: {bucket}/{key:.200}; others are served"
            raise ObjectFault(self.store, operation, detail) from fault
        self._others.served(bucket, key)
        return data

    async def store_source(self, key: str, data: bytes) -> str:
        """Store an image that is too large for a message.

        Args:
            key: under ``frames/`` or ``uploads/``.
            data: the image.

        Returns:
            Its address, for ``ce_dataref``.
        """
        await self.put(key, data, "application/octet-stream")
        return f"s3://{self.bucket}/{key}"

    async def _make_bucket(self) -> bool:
        async with self._client("make the bucket") as client:
            try:
                await client.head_bucket(Bucket=self.bucket)
            except ClientError as error:
                if code_of(error) not in _NOT_FOUND | {"NoSuchBucket"}:
                    raise
            else:
                return False
            # Amazon's first region must not be named; every other must be.
            region = self._settings.region
            place = {} if region == "us-east-1" else {"LocationConstraint": region}
            arguments = {"CreateBucketConfiguration": place} if place else {}
            try:
                await client.create_bucket(Bucket=self.bucket, **arguments)
            except ClientError as error:
                if code_of(error) in _BUCKET_IS_THERE:
                    return False
                raise
        return True

    async def _read(self, operation: str, bucket: str, key: str, max_bytes: int | None) -> bytes:
        async with self._client(operation, key_is_ours=False) as client:
            try:
                answer = await client.get_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if code_of(error) in _NOT_FOUND:
                    raise StoreRejected(
                        self.store, operation, "there is no such object", reason="not_found"
                    ) from error
                if code_of(error) in _DENIED:
                    detail = f"{code_of(error)}: {bucket}/{key:.200}"
                    raise StoreDenied(self.store, operation, detail) from error
                raise
            async with answer["Body"] as body:
                length = int(answer["ContentLength"])
                if max_bytes is not None and length > max_bytes:
                    body.close()  # without reading the rest
                    raise StoreRejected(
                        self.store,
                        operation,
                        f"{length} bytes, at most {max_bytes} are allowed",
                        reason="too_large",
                    )
                data: bytes = await body.read()
        return data

    @asynccontextmanager
    async def _client(self, operation: str, *, key_is_ours: bool = True) -> AsyncIterator[Any]:
        """The client, when one of its connections is free; its failures are typed."""
        if self._opened is None:
            raise StoreUnavailable(self.store, operation, "not connected")
        async with self._places:
            try:
                yield self._opened
            except ClientError as error:
                raise self._typed(operation, error, key_is_ours) from error
            except HTTPClientError as error:
                cause = error.kwargs.get("error")
                detail = f"{type(cause or error).__name__}: {cause or error}"
                # A server that redirects for a producer's key does so every time; one that
                # redirects for every key is the wrong one.
                if isinstance(cause, Redirected) and not (key_is_ours or cause.of_every_key):
                    raise StoreRejected(self.store, operation, detail) from error
                raise StoreUnavailable(self.store, operation, detail) from error
            except (BotoCoreError, OSError, TimeoutError) as error:
                if isinstance(error, AioReadTimeoutError) and self._opened is not None:
                    # Of a body, whose request had its answer.
                    await self._opened._endpoint.http_session.forget_connections()  # noqa: SLF001 - aiobotocore offers no other way
                detail = f"{type(error).__name__}: {error}"
                raise StoreUnavailable(self.store, operation, detail) from error

    def _typed(
        self, operation: str, error: ClientError, key_is_ours: bool
    ) -> StoreUnavailable | StoreRejected:
        detail = described(error)
        if is_fault(error):
            return StoreFault(self.store, operation, detail)
        if is_the_stores(error, key_is_ours=key_is_ours):
            return StoreUnavailable(self.store, operation, detail)
        return StoreRejected(self.store, operation, detail)


def _traces(crops: Collection[str], photos: Collection[str]) -> Traces:
    return Traces({"crops": len(crops), "photos by claim check": len(photos)})


def _certificate(settings: S3Settings) -> tuple[str, str] | None:
    """Our certificate and its key, for a server that requires one."""
    certificate, key = settings.tls.cert_file, settings.tls.key_file
    return (str(certificate), str(key)) if certificate and key else None


def _addressing(settings: S3Settings) -> str:
    """Where the bucket is named: other vendors' servers seldom have a host name per bucket."""
    if settings.addressing == "auto" and settings.endpoint_url:
        return "path"
    return settings.addressing


async def _all_of(calls: Iterable[Awaitable[None]]) -> None:
    """Run all to their end, then raise the first failure: none is left running behind it."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
