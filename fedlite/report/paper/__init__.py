"""Figures of runs and studies as vector graphics for papers: `write` draws what the page draws, with matplotlib."""
