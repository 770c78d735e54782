"""Applies a user's deactivation, from the user's row, to the galleries."""

from uuid import UUID

from sinks.vector.vector_store import Vectors


async def align_suspension(vectors: Vectors, user_id: UUID, *, is_active: bool | None) -> None:
    """Suspend or resume a user, as the user's row says; harmless when it is so already.

    Args:
        vectors: the galleries.
        user_id: the user.
        is_active: of the row, which the caller keeps from being changed; None if there is no row,
            which an erasure handles.

    Raises:
        StoreUnavailable: the vector database is unavailable.
    """
    if is_active is None:
        return
    if is_active:
        await vectors.resume_user(user_id)
    else:
        await vectors.suspend_user(user_id)
