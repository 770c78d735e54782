"""What embeddings of another precision do to decisions."""

import numpy as np
import numpy.typing as npt

from domain.arrays import FloatArray

_FAR = 1e-4
_FPIR = 0.01
_DRAWS = 1000

Floats = npt.NDArray[np.floating]


def accuracy(
    reference: FloatArray, probes: FloatArray, people: npt.NDArray[np.str_]
) -> dict[str, float]:
    """Compare the decisions about probes of a precision with those about the reference's probes.

    Args:
        reference: unit embeddings, (N, D), in float32: the gallery. They also set the thresholds.
        probes: (N, D), the same faces in another precision.
        people: (N,), whose face each one is.

    Returns:
        ``cosine_mean`` and ``cosine_least`` of the two embeddings of a face. If a person has
        several faces and there are several people: ``tar`` of all pairs, in per cent, and
        ``far_1e-4`` in multiples of 1e-4, at the threshold where the reference's FAR is 1e-4. If
        there are also people with one face, who are the unknowns: ``fnir`` and ``fpir``, in per
        cent, at the threshold where the reference's FPIR is 1 %. ``tar_change_low``,
        ``tar_change_high`` and the same of ``fnir`` are the 95 % interval of the difference to the
        reference, in percentage points.
    """
    cosines = np.sum(reference * probes, axis=1)
    values = {"cosine_mean": float(cosines.mean()), "cosine_least": float(cosines.min())}
    before, after = reference @ reference.T, probes @ reference.T
    same = people[:, None] == people[None]
    genuine = same & ~np.eye(len(people), dtype=bool)
    if not genuine.any() or same.all():
        return values
    threshold = float(np.quantile(before[~same], 1 - _FAR))
    values |= _difference("tar", before >= threshold, after >= threshold, genuine, people)
    values["far_1e-4"] = 1e4 * float((after >= threshold)[~same].mean())
    if not (unknown := _best_of_unknowns(before, people)).size:
        return values
    rank = float(np.quantile(unknown, 1 - _FPIR))
    missed_before, missed = (_missed(scores, people, rank) for scores in (before, after))
    values |= _difference("fnir", missed_before, missed, _enrolled_pairs(people), people)
    values["fpir"] = 100 * float((_best_of_unknowns(after, people) >= rank).mean())
    return values


def _gallery(people: npt.NDArray[np.str_]) -> npt.NDArray[np.intp]:
    """The first picture of each person who has several."""
    _, first, counts = np.unique(people, return_index=True, return_counts=True)
    return first[counts > 1]


def _best_of_unknowns(scores: Floats, people: npt.NDArray[np.str_]) -> Floats:
    gallery = _gallery(people)
    unknown = ~np.isin(people, people[gallery])
    return np.asarray(scores[unknown][:, gallery].max(axis=1))


def _enrolled_pairs(people: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """Probe and gallery picture of one person."""
    gallery = np.zeros(len(people), bool)
    gallery[_gallery(people)] = True
    return np.asarray((people[:, None] == people[None]) & gallery[None] & ~gallery[:, None])


def _missed(
    scores: Floats, people: npt.NDArray[np.str_], threshold: float
) -> npt.NDArray[np.bool_]:
    """(N, N): whether a gallery picture is not a probe's best one, or below the threshold."""
    gallery = _gallery(people)
    best = scores[:, gallery].max(axis=1, keepdims=True)
    return np.asarray((scores < best) | (scores < threshold))


def _difference(
    name: str,
    before: npt.NDArray[np.bool_],
    after: npt.NDArray[np.bool_],
    counted: npt.NDArray[np.bool_],
    people: npt.NDArray[np.str_],
) -> dict[str, float]:
    """Percentages, and a 95 % interval of their difference: people drawn with repetition."""
    names = [one for one in np.unique(people) if counted[people == one].any()]
    rows = np.array(
        [
            [(part & counted)[people == one].sum() for part in (before, after)]
            + [counted[people == one].sum()]
            for one in names
        ]
    )
    drawn = np.random.default_rng(1).integers(0, len(rows), (_DRAWS, len(rows)))
    sums = rows[drawn].sum(axis=1)
    low, high = np.quantile(100 * (sums[:, 1] - sums[:, 0]) / sums[:, 2], (0.025, 0.975))
    total = rows.sum(axis=0)
    return {
        name: 100 * float(total[1] / total[2]),
        f"{name}_change_low": float(low),
        f"{name}_change_high": float(high),
    }
