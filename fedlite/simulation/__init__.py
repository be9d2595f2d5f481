"""The world that devices live in, as pure functions of (device, time)."""
