"""What becomes of personal and sensitive values on their way into Silver: rules by classification and by column."""

from headwater.masking.masks import Mask
from headwater.masking.plan import Masking, load_masking, mask_told, masks_of

__all__ = ["Mask", "Masking", "load_masking", "mask_told", "masks_of"]
