"""Rollout plans: which devices get which model when, under what conditions, and what stops it."""
