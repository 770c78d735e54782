"""Changes of the table of embedders, each with a line in the audit trail."""

from collections.abc import Sequence

from sqlalchemy import delete, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.decisions.matching import MatchPolicy
from domain.decisions.model_change import (
    EmbedderFile,
    ModelChangeError,
    ModelState,
    StoredModel,
)
from services.audit import record
from sinks.main.models.model_schema import ModelRow, ShadowCountRow
from streams.contract.validation import MAX_MODELS

#: The time of the change itself: `now()` is that of the transaction, which may have waited.
_NOW = func.clock_timestamp()


async def stored_models(session: AsyncSession) -> list[StoredModel]:
    """All embedders of the table, the first added first."""
    rows = await session.scalars(select(ModelRow).order_by(ModelRow.added_at, ModelRow.id))
    return [row.stored() for row in rows]


async def stored_model(session: AsyncSession, model_id: str) -> StoredModel:
    """One of them.

    Raises:
        ModelChangeError: there is none with this id.
    """
    row = await session.get(ModelRow, model_id)
    if row is None:
        raise ModelChangeError(f"there is no model {model_id}; `fecapass models list` shows them")
    return row.stored()


async def add_model(  # noqa: PLR0913 - the columns of a row, named where it is made
    session: AsyncSession,
    actor: str,
    model_id: str,
    file: EmbedderFile,
    dimension: int,
    *,
    policy: MatchPolicy | None = None,
) -> bool:
    """Add an embedder as a shadow; one that was retired becomes a shadow again.

    Args:
        session: on the main database.
        actor: for the audit trail.
        model_id: as with each of its embeddings.
        file: how it is loaded.
        dimension: of its embeddings.
        policy: threshold and margin that it would serve with, so that its row is complete before
            it does; None: as the settings of the workers say.

    Returns:
        Whether anything changed.

    Raises:
        ModelChangeError: it is there with another mean or deviation, which is another model; or
            too many are in use.
    """
    row = await session.get(ModelRow, model_id, with_for_update=True)
    if row is None or row.state == ModelState.RETIRED:
        await _require_room(session)
    if row is None:
        session.add(
            ModelRow(
                id=model_id,
                kind=file.kind,
                sha256=file.sha256,
                mean=list(file.mean),
                deviation=list(file.deviation),
                mirror=file.mirror,
                dimension=dimension,
                state=ModelState.SHADOW,
                threshold=None if policy is None else policy.threshold,
                margin=None if policy is None else policy.margin,
            )
        )
    elif row.stored().file != file:
        raise ModelChangeError(
            f"{model_id} is there with mean {row.mean} and deviation {row.deviation}; its "
            "embeddings would not compare"
        )
    elif row.state != ModelState.RETIRED:
        return False
    else:
        row.state = ModelState.SHADOW
        row.changed_at = _NOW
    record(session, actor, "model.add", f"model:{model_id}")
    return True


async def _require_room(session: AsyncSession) -> None:
    """Detect workers embed each photo with all models in use, and send what they embedded."""
    in_use = select(func.count()).where(ModelRow.state != ModelState.RETIRED)
    if (await session.scalar(in_use) or 0) >= MAX_MODELS - 1:
        raise ModelChangeError(
            f"{MAX_MODELS - 1} models are in use, and no more can be; retire one first"
        )


async def serve_model(
    session: AsyncSession,
    actor: str,
    model_id: str,
    *,
    threshold: float | None = None,
    margin: float | None = None,
) -> bool:
    """Have an embedder decide from now on; the one that did stays as a shadow.

    Args:
        session: on the main database.
        actor: for the audit trail.
        model_id: of the embedder.
        threshold: least cosine of a match; None leaves it as it is.
        margin: least lead over the runner-up; None leaves it as it is.

    Returns:
        Whether anything changed.

    Raises:
        ModelChangeError: there is none with this id, or it is retired.
    """
    rows = {row.id: row for row in await _locked(session)}
    row = rows.get(model_id)
    if row is None:
        raise ModelChangeError(f"there is no model {model_id}; `fecapass models list` shows them")
    if row.state == ModelState.RETIRED:
        raise ModelChangeError(f"{model_id} is retired; add it again, and backfill it")
    given = (
        row.threshold if threshold is None else threshold,
        row.margin if margin is None else margin,
    )
    if row.state == ModelState.SERVING and given == (row.threshold, row.margin):
        return False
    for other in rows.values():
        if other.state == ModelState.SERVING and other is not row:
            other.state, other.changed_at = ModelState.SHADOW, _NOW
            await session.flush()  # at most one serves at any moment
    if row.state != ModelState.SERVING:
        row.served_at = _NOW
    row.state, row.changed_at = ModelState.SERVING, _NOW
    row.threshold, row.margin = given
    record(session, actor, "model.serve", f"model:{model_id}")
    return True


async def served_before(session: AsyncSession) -> StoredModel:
    """The embedder that served before the present one, and can again.

    Raises:
        ModelChangeError: there is none.
    """
    before = [
        one
        for one in await stored_models(session)
        if one.state is ModelState.SHADOW and one.served_at is not None
    ]
    if not before:
        raise ModelChangeError("no other model has served that is not retired")
    return max(before, key=lambda one: (one.served_at or one.added_at, one.id))


async def retire_model(session: AsyncSession, actor: str, model_id: str) -> bool:
    """Embed nothing more with an embedder that does not serve; its templates stay.

    What was counted of it on live faces is deleted.

    Returns:
        Whether anything changed.

    Raises:
        ModelChangeError: there is none with this id, or it serves.
    """
    rows = {row.id: row for row in await _locked(session)}
    row = rows.get(model_id)
    if row is None:
        raise ModelChangeError(f"there is no model {model_id}; `fecapass models list` shows them")
    if row.state == ModelState.SERVING:
        raise ModelChangeError(f"{model_id} serves; let another model serve first")
    if row.state == ModelState.RETIRED:
        return False
    row.state, row.changed_at = ModelState.RETIRED, _NOW
    counted = or_(ShadowCountRow.model == model_id, ShadowCountRow.serving == model_id)
    await session.execute(delete(ShadowCountRow).where(counted))
    record(session, actor, "model.retire", f"model:{model_id}")
    return True


async def _locked(session: AsyncSession) -> Sequence[ModelRow]:
    """All rows, which no other change can have; `changed_at` then rises from change to change."""
    await session.execute(text("LOCK TABLE models IN SHARE ROW EXCLUSIVE MODE"))
    return (await session.scalars(select(ModelRow))).all()
