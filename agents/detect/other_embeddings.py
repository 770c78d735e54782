"""The embeddings of the models that do not decide: of photos to enrol, and of frames in shadow."""

from collections.abc import Mapping

from msgspec import structs

from agents.detect.model_lanes import ModelLanes
from domain.arrays import Image
from domain.decisions.shadow_frames import is_in_shadow
from domain.events import DetectedFaces, EventKind
from ml.recognition.face_analyser import AnalysedFace


class OtherEmbeddings:
    """Adds to a result what the other models say; the result itself does not change."""

    def __init__(self, lanes: ModelLanes, share: float) -> None:
        """Embed by these models.

        Args:
            lanes: the models.
            share: of the frames whose embedded faces the other models embed, too; 0 to 1.
        """
        self._lanes = lanes
        self._share = share

    async def add(
        self, image: Image, embedded: Mapping[int, AnalysedFace], found: DetectedFaces
    ) -> DetectedFaces:
        """The result, with the embeddings of the other models where these are wanted.

        Args:
            image: uint8 (H, W, 3), BGR, upright, in full size.
            embedded: those faces of the result that were embedded, by index.
            found: the result.
        """
        event = found.event
        in_shadow = event.kind is EventKind.FRAME and is_in_shadow(event.uuid, self._share)
        if not embedded or not (in_shadow or event.kind is EventKind.ENROL):
            return found
        others = await self._lanes.embed_by_others(image, list(embedded.values()))
        by_index = dict(zip(embedded, others, strict=True))
        return structs.replace(
            found,
            in_shadow=in_shadow,
            faces=tuple(
                structs.replace(face, other_embeddings=by_index[index])
                if by_index.get(index)
                else face
                for index, face in enumerate(found.faces)
            ),
        )
