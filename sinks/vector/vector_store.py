"""The vector database: templates, sightings and the gallery.

The gallery is what users are recognised by: one fused template for each user and model, the
normalised mean of the user's photos. Its truth is here; workers load it at start and follow its
changes by revision. Sightings are for "where else was this face seen", compared exactly.
"""

from sinks.vector.copied_embeddings import CopiedEmbeddings
from sinks.vector.gallery_reader import GalleryReader
from sinks.vector.templates.enrolled_photos import EnrolledPhotos
from sinks.vector.templates.template_owners import TemplateOwners
from sinks.vector.templates.template_store import TemplateStore
from sinks.vector.vector_erasure import VectorErasure


class Vectors(
    TemplateOwners, TemplateStore, GalleryReader, EnrolledPhotos, CopiedEmbeddings, VectorErasure
):
    """Reads and writes the vector database. All methods raise the errors of `sinks.store_errors`.

    Embeddings are float32 numpy arrays of length 1.
    """
