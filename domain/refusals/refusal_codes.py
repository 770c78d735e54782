"""What a refusal of an upload depends on, according to its code. Pure.

A refusal because of the photo's bytes is permanent. A refusal by a policy is valid while policy and
model are in force. A refusal because of a state, such as that of the user, is decided each time.
"""

from typing import Final

_BY_CONTENT: Final = frozenset({"corrupt", "degenerate", "empty", "unsupported_format"})

#: Of users, stores and settings of claim checks: an operator may change them at any moment.
_BY_STATE: Final = frozenset(
    {
        "claim_check_unsupported",
        "forbidden_bucket",
        "not_found",
        "photo_removed",
        "promotion_undone",
        "unknown_user",
        "user_inactive",
    }
)


def is_final(code: str | None) -> bool:
    """Whether nothing but other bytes can bring another result."""
    return code in _BY_CONTENT


def is_settled(code: str | None, decided_by: str | None, in_force: str) -> bool:
    """Whether a refusal is still valid.

    Args:
        code: of the refusal.
        decided_by: the policy that decided; None of a release that did not write it down.
        in_force: the policy that would decide now.
    """
    if is_final(code):
        return True
    return code not in _BY_STATE and decided_by == in_force
