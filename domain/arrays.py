"""Names for the arrays that go through this room."""

import numpy as np
from numpy.typing import NDArray

#: (H, W, 3), BGR, upright.
Image = NDArray[np.uint8]
#: (H, W), brightness, upright.
GreyImage = NDArray[np.uint8]
FloatArray = NDArray[np.float32]
