"""Settings and logging: what every other room may import, and imports nothing of ours."""

from typing import Final

#: The release. A container image has the code without package metadata, so it is set here.
RELEASE: Final = "0.1.0"
