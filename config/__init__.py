"""Settings and logging: what every other room may import, and imports nothing of ours."""

from typing import Final

#: The release. A container image holds the code without a package's metadata, so it stands here.
RELEASE: Final = "0.1.0"
