"""Images that come by claim check: a message has the address, the bucket has the image."""

from config.settings import S3Settings
from domain.object_keys import split_dataref
from sinks.objects.bucket import Bucket
from sinks.objects.store_probe import OtherObjects
from sinks.store_errors import ObjectFault, StoreFault, StoreRejected

_FETCH = "fetch a claim check"


class ClaimCheckStore(Bucket):
    """Stores the images of claim checks in one bucket, and reads them from several."""

    def __init__(self, settings: S3Settings) -> None:
        """Take the settings; nothing is connected yet."""
        super().__init__(settings)
        self._readable = frozenset({settings.bucket, *settings.claim_check_buckets})
        self._others = OtherObjects(settings.connect_timeout)

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
        bucket, key = self.locate(dataref)
        try:
            data = await self._read(_FETCH, bucket, key, max_bytes)
        except StoreFault as fault:
            async with self._client(_FETCH) as client:
                if not await self._others.are_served(client, bucket, key):
                    raise
            detail = f"{fault.detail}: {bucket}/{key:.200}; others are served"
            raise ObjectFault(self.store, _FETCH, detail) from fault
        self._others.served(bucket, key)
        return data

    def locate(self, dataref: str) -> tuple[str, str]:
        """Bucket and key of a claim check; the store is not called.

        Raises:
            StoreRejected: ``bad_dataref`` or ``forbidden_bucket``.
        """
        named = split_dataref(dataref)
        if named is None:
            raise StoreRejected(
                self.store, _FETCH, "it is not s3://bucket/key", reason="bad_dataref"
            )
        bucket, _ = named
        if bucket not in self._readable:
            raise StoreRejected(
                self.store,
                _FETCH,
                f"bucket {bucket} may not be read; FECAPASS_S3__CLAIM_CHECK_BUCKETS names others",
                reason="forbidden_bucket",
            )
        return named

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
