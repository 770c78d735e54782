"""What can be wrong between the stores, in words; and how many of each were found."""

from enum import StrEnum

import msgspec


class Fault(StrEnum):
    """One kind of fault. The values are names in JSON, and labels of metrics."""

    CROP_WITHOUT_ROW = "crop_without_row"
    SIGHTING_WITHOUT_ROW = "sighting_without_row"
    TEMPLATE_WITHOUT_ROW = "template_without_row"
    ROW_WITHOUT_CROP = "row_without_crop"
    ROW_WITHOUT_EMBEDDING = "row_without_embedding"
    SNAPSHOT_WITHOUT_ROW = "snapshot_without_row"
    ROW_WITHOUT_SNAPSHOT = "row_without_snapshot"
    WRONG_SUSPENSION = "wrong_suspension"
    WRONG_MEAN = "wrong_mean"
    NOT_ANNOUNCED = "not_announced"
    OLD_CLAIM_CHECK = "old_claim_check"


#: What is done about each, for the table.
REPAIRS = {
    Fault.CROP_WITHOUT_ROW: "deleted",
    Fault.SIGHTING_WITHOUT_ROW: "deleted",
    Fault.TEMPLATE_WITHOUT_ROW: "deleted, the user's mean computed again",
    Fault.ROW_WITHOUT_CROP: "the row says so (crop_key null)",
    Fault.ROW_WITHOUT_EMBEDDING: "noted as lost",
    Fault.SNAPSHOT_WITHOUT_ROW: "deleted",
    Fault.ROW_WITHOUT_SNAPSHOT: "the row is deleted",
    Fault.WRONG_SUSPENSION: "suspended or resumed, as the user's row says",
    Fault.WRONG_MEAN: "computed again",
    Fault.NOT_ANNOUNCED: "announced",
    Fault.OLD_CLAIM_CHECK: "deleted",
}


class FaultCount(msgspec.Struct, kw_only=True):
    """How many faults of a kind a run found, and what became of them.

    Attributes:
        fault: the kind.
        checked: the number of rows or objects that were checked.
        found: the number of faulty ones.
        repaired: the number of repaired ones.
    """

    fault: Fault
    checked: int = 0
    found: int = 0
    repaired: int = 0

    @property
    def left(self) -> int:
        """How many are as they were: after a dry run all, else those that were in use."""
        return self.found - self.repaired
