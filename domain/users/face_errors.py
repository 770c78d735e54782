"""Errors in requests about faces, from the API or the command line."""


class NoSuchFaceError(Exception):
    """There is no face with this id."""

    def __init__(self) -> None:
        super().__init__("there is no face with this id")


class NoEmbeddingError(Exception):
    """The embedding of a face was deleted, or is of a model that is gone."""

    def __init__(self) -> None:
        super().__init__("there is no embedding of this face any more")


class ProbeInactiveError(Exception):
    """A search by an enrolled photo of a deactivated user, whom no camera may recognise."""

    def __init__(self) -> None:
        super().__init__("this user is deactivated; activate the user first")
