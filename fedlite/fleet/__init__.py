"""The fleet: a struct of arrays, what a job costs each device, and the ledger of what happened."""
