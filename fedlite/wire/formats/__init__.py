"""Number formats: how the kept values of a packet become bytes. One file each; the table is in `fedlite.wire.codec`."""
