"""An evaluation as one JSON document."""

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import msgspec

from domain.decisions.gallery_threshold import ImpostorTail
from infra.evaluation.evaluation import Evaluation, settings_lines, wanted_lines
from infra.evaluation.protocol import Roles

Document = dict[str, object]

#: Written in another form than they have.
_OTHERWISE = {"sweep", "tail", "policy"}


def document_of(
    evaluation: Evaluation, roles: Roles, unreadable: Iterable[tuple[Path, str]]
) -> Document:
    """All figures by name; shares are 0 to 1, intervals 95 %, and null is too little data.

    Args:
        evaluation: the results.
        roles: what each photo was used for.
        unreadable: files that could not be used, with the reason.
    """
    plain: Document = {
        field.name: msgspec.to_builtins(getattr(evaluation, field.name))
        for field in fields(evaluation)
        if field.name not in _OTHERWISE
    }
    tail = evaluation.tail
    swept = evaluation.sweep
    return {
        **plain,
        "threshold": evaluation.policy.threshold,
        "margin": evaluation.policy.margin,
        "settings": settings_lines(evaluation),
        "settings_by_size": wanted_lines(evaluation),
        "impostor_tail": _tail(tail.tail) if tail else None,
        "sweep": {
            "thresholds": swept.thresholds.tolist(),
            "margins": swept.margins.tolist(),
            "fpir": swept.fpir.tolist(),
            "fnir": swept.fnir.tolist(),
        },
        "photos": {
            "in_templates": sum(map(len, roles.enrolled.values())),
            "probes": len(roles.probes),
            "unknown_probes": len(roles.unknown),
            "offered_to_enrolment": roles.offered,
            "refused_by_enrolment": dict(roles.refusals),
            "without_face": roles.without_face,
            "duplicates": [str(read.photo.path) for read in roles.duplicates],
            "unreadable": [{"file": str(path), "reason": why} for path, why in unreadable],
        },
        "people_not_enrolled": list(roles.failed),
    }


def _tail(tail: ImpostorTail) -> Document:
    return {"location": tail.location, "scale": tail.scale}
