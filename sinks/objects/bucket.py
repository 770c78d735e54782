"""The objects of one bucket: write, read, list and delete them."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from time import monotonic
from typing import NamedTuple

from botocore.exceptions import ClientError

from sinks.objects.s3_connection import S3Connection
from sinks.objects.s3_errors import code_of, described
from sinks.store_errors import StoreDenied, StoreRejected, StoreUnavailable

#: A new server may answer before it can store: `Bucket.ensure_bucket` tries for so many seconds.
_BUCKET_PATIENCE = 10.0
_BUCKET_PAUSE = 0.2

#: S3 deletes at most so many objects in one request.
_DELETE_BATCH = 1000

_NOT_FOUND = frozenset({"NoSuchKey", "NotFound", "404"})
_BUCKET_IS_THERE = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})

#: Codes with which a store may deny access to a single object of a claim check.
_DENIED = frozenset({"403", "AccessDenied", "Forbidden"})


class StoredObject(NamedTuple):
    """An object as a listing has it; the time is that of its last write."""

    key: str
    written_at: datetime


class Bucket(S3Connection):
    """The bucket that the settings name."""

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

    async def existing(self, keys: Iterable[str]) -> set[str]:
        """Those of these objects that are there; asked for over all connections at once."""
        asked = sorted(set(keys))
        there = await asyncio.gather(*(self.exists(key) for key in asked))
        return {key for key, is_there in zip(asked, there, strict=True) if is_there}

    async def pages(self, prefix: str) -> AsyncIterator[list[StoredObject]]:
        """Every object below a prefix, a page of at most a thousand at a time, in no sure order.

        An object that is written or deleted during the listing may or may not be in it.

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
