"""When a visit begins, whose it is, and when it ends."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VisitPolicy:
    """The rules for visits. Times are in seconds, similarities are cosines.

    Attributes:
        confirm_faces: an identity is confirmed when the visit has so many embeddings.
        strong_similarity: or when their mean is this similar to the template.
        hold_faces: a confirmed identity changes when so many embeddings in a row lead to another.
        unknown_after: a visit without a confirmed identity is announced after this time.
        poor_faces: a visit of which no face says whose it is is announced with so many faces.
        update_interval: the least time between two announcements of changes.
        end_after: a visit has ended when it has had no face for this time.
        return_within: the same person back within this time of the last face continues the visit.
        maximum_length: a visit that is longer ends, and goes on as another.
        grace: a face that is later than this changes nothing but the counts of its visit.
        similarity: of a face without a known track or user to the visit that it belongs to; a
            little less is enough while the person was seen a moment ago.
        gate: whether a visit is an unknown's unless a model took it for a person.
    """

    confirm_faces: int = 3
    strong_similarity: float = 0.6
    hold_faces: int = 3
    unknown_after: float = 2.0
    poor_faces: int = 4
    update_interval: float = 1.0
    end_after: float = 10.0
    return_within: float = 30.0
    maximum_length: float = 3600.0
    grace: float = 5.0
    similarity: float = 0.45
    gate: bool = False
