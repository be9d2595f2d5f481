"""One client job: what it is made of, how a worker does it, and what its device remembers of it."""
