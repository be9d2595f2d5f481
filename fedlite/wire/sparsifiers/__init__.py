"""Sparsifiers: which values of a packet are sent at all. One file each; the table is in `fedlite.wire.codec`."""
