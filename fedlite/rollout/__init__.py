"""Rehearsing a rollout: gates that stop it, and what they can see of a regression before anything is rehearsed."""
