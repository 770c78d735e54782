"""Who is in the clips below ``video/``, labelled by eye.

Every clip was looked at as a sheet of frames (of `WALKING` each frame, of the others every tenth,
and of ``bird`` the right side of every tenth once more). Each of ``intel_asl`` shows one signer
from its first frame to its last, and who it is agrees with ``manifest.csv``. In ``bird`` another
person sits at the right edge all the time, with less than half of the face in the picture: no face
to recognise, so it is not expected; a visit of it counts as a false one.
"""

from typing import NamedTuple

#: The signer of each clip below ``video/intel_asl``.
SIGNERS = {
    "again": "signer 1",
    "no": "signer 1",
    "yes": "signer 1",
    "bird": "signer 2",
    "milk": "signer 2",
    "thanks": "signer 2",
    "book": "signer 3",
    "learn": "signer 3",
    "walk": "signer 3",
    "eat": "signer 4",
    "night": "signer 4",
    "sister": "signer 4",
    "hungry": "signer 5",
    "want": "signer 5",
}

#: The clips that signers are enrolled from; no scene shows them.
ENROLLED_FROM = ("again", "milk", "book", "eat", "hungry")

#: Where the head of a signer is in any of these clips: from and to, as shares of the width.
HEAD = (0.3, 0.72)


class Walker(NamedTuple):
    """A person in `WALKING` from its first frame to its last.

    Attributes:
        name: what the person is called here.
        left: the head is right of this share of the width, in every frame.
        right: and left of this one.
    """

    name: str
    left: float
    right: float


#: Two people come along a corridor next to each other: 35 frames in 2.9 s. The woman is on the left
#: in every frame, and neither is in front of the other in any.
WALKING = "video/face-demographics-walking.gif"
WALKING_RATE = 12.1
WALKERS = (Walker("woman in white", 0.33, 0.6), Walker("man in blue", 0.6, 0.74))
