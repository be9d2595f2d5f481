"""Attacks on what a run let an adversary see, and audits of what it promised; one file per attack, told what to do."""
