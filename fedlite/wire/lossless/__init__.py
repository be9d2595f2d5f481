"""Lossless stages: the last squeeze of a packet. One file each; the table is in `fedlite.wire.codec`."""
