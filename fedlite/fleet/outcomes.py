"""What can become of a client job: values with one sentence of advice each."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """How one client job ended. The text of `advice` tells the person who runs the fleet what could be changed."""

    ARRIVED = "arrived"
    LATE = "late"
    SURPLUS = "surplus"
    UNHEARD = "unheard"
    ABANDONED = "abandoned"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    STORAGE_FULL = "storage_full"
    INFEASIBLE_LINK = "infeasible_link"
    DATA_CAP = "data_cap"
    CPU_BUDGET = "cpu_budget"
    ENERGY_BUDGET = "energy_budget"
    BATTERY_EMPTY = "battery_empty"
    UNPLUGGED = "unplugged"
    LOST_NETWORK = "lost_network"
    INTERRUPTED = "interrupted"
    CLIENT_ERROR = "client_error"
    DIVERGED = "diverged"

    @property
    def advice(self) -> str:
        """One sentence: what happened and what would change it."""
        return _ADVICE[self]

    @property
    def code(self) -> int:
        """Position in the enumeration: how arrays hold outcomes."""
        return _CODES[self]

    @classmethod
    def of_code(cls, code: int) -> Outcome:
        """Return the outcome at a position."""
        return _MEMBERS[code]


_ADVICE = {
    Outcome.ARRIVED: "The update arrived in time.",
    Outcome.LATE: "The update came after the deadline; lengthen it, lower the work or over-select.",
    Outcome.SURPLUS: "The round already had the replies it wanted, no fault of the device; lower over_select.",
    Outcome.UNHEARD: "The server had stopped before the reply came, no fault of the device; nothing to change.",
    Outcome.ABANDONED: "Too few updates came in time, so the round was thrown away; over-select, or ask fewer.",
    Outcome.TIMED_OUT: "The job took longer than a device gives one; lower the work, or raise reporting.device_cap.",
    Outcome.OUT_OF_MEMORY: "Training needs more memory than a job may take; give a narrower plan or a smaller batch.",
    Outcome.STORAGE_FULL: "Model and data do not fit the free storage; use a smaller model or compress the downlink.",
    Outcome.INFEASIBLE_LINK: "The link cannot carry the model at all; compress harder or leave this class out.",
    Outcome.DATA_CAP: "The month's metered bytes are used up; compress harder or wait for an unmetered network.",
    Outcome.CPU_BUDGET: "Training took longer than a round may use the processor; lower the local epochs or the width.",
    Outcome.ENERGY_BUDGET: "The day's energy allowance ran out; train less often, shorter, or while charging.",
    Outcome.BATTERY_EMPTY: "The battery reached its floor before the end; raise min_battery or lower the work.",
    Outcome.UNPLUGGED: "The device was taken off its charger in mid-job; shorten the job or over-select.",
    Outcome.LOST_NETWORK: "The device lost its allowed network in mid-job; send fewer bytes or over-select.",
    Outcome.INTERRUPTED: "Its owner picked the device up in mid-job; shorten the job or over-select.",
    Outcome.CLIENT_ERROR: "The client's own code raised an error; see the reason in its reply.",
    Outcome.DIVERGED: "Training ended in numbers that are none or that the codec cannot hold; lower the rate, or clip.",
}
NOT_NEEDED: Final = (Outcome.SURPLUS, Outcome.UNHEARD)
"""How jobs end that nobody waited for any more, though their devices kept to whatever was asked of them."""
NOT_AWAITED: Final = (Outcome.LATE, Outcome.ABANDONED, *NOT_NEEDED)
"""How jobs end that were done in full, and for nothing."""
CONTRIBUTED: Final = (Outcome.ARRIVED, Outcome.DIVERGED, *NOT_AWAITED)
"""How jobs end that were contributions, whether the server could use them or not."""
_MEMBERS = tuple(Outcome)
_CODES = {member: position for position, member in enumerate(_MEMBERS)}
