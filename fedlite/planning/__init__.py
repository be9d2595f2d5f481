"""Deciding which plan fits which device class; told the costs, never how they come about."""
