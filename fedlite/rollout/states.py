"""Where a device stands at the end of a rehearsal, or why it never got the new model: one of these, never two."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """What became of one device. The text of `reason` tells the person who plans the rollout what it means."""

    UPDATED = "updated"
    ROLLED_BACK = "rolled_back"
    INSTALL_FAILED = "install_failed"
    DOWNLOAD_FAILED = "download_failed"
    UNDER_WAY = "under_way"
    HELD_OUT = "held_out"
    NOT_REACHED = "not_reached"
    STOPPED = "stopped"
    NO_MEMORY = "no_memory"
    NO_STORAGE = "no_storage"
    NO_LATENCY = "no_latency"
    NO_VARIANT = "no_variant"
    STORAGE_FULL = "storage_full"
    OPTED_OUT = "opted_out"
    POLICY = "policy"
    OFFLINE = "offline"
    LEFT = "left"
    LEFT_UPDATED = "left_updated"

    @property
    def reason(self) -> str:
        """One sentence."""
        return _REASONS[self]

    @property
    def code(self) -> int:
        """Position in the enumeration: how arrays hold states."""
        return _CODES[self]


_REASONS: Final = {
    State.UPDATED: "The device runs the new model.",
    State.ROLLED_BACK: "The device had the new model and runs the old one again.",
    State.INSTALL_FAILED: "The new model did not install; the old one is kept.",
    State.DOWNLOAD_FAILED: "Every attempt to download failed.",
    State.UNDER_WAY: "The horizon ended before the download, or its next attempt.",
    State.HELD_OUT: "The device is in the control arm and keeps the old model.",
    State.NOT_REACHED: "The plan never got to this device.",
    State.STOPPED: "The rollout was stopped before this device began its download.",
    State.NO_MEMORY: "No variant fits its memory.",
    State.NO_STORAGE: "No variant fits its storage.",
    State.NO_LATENCY: "No variant is fast enough on it.",
    State.NO_VARIANT: "No variant is meant for its class, or its cores cannot run one.",
    State.STORAGE_FULL: "The owner has filled the storage.",
    State.OPTED_OUT: "The owner takes no updates.",
    State.POLICY: "The download's conditions were not met in time.",
    State.OFFLINE: "The device was not seen again, or its owner never updated it.",
    State.LEFT: "The device left the fleet before it was updated.",
    State.LEFT_UPDATED: "The device ran the new model and left the fleet.",
}
_CODES: Final = {state: position for position, state in enumerate(State)}
STATES: Final = tuple(State)
