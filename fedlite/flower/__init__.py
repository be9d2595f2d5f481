"""Orchestration: the fleet as a Flower Grid, and the strategies that Flower lacks."""
