"""Rehearsing a rollout: a plan carried out many times on a simulated fleet before anybody touches a real one."""
