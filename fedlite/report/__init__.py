"""Telling: run directories to tables, figures and self-contained pages. Reads results, changes nothing.

`run_data` reads a run directory, `tables` and `class_tables` aggregate it, `figures/` draws one idea per module, and
`run_page`, `compare_page`, `study_page` put them on a page. `console` is the summary for a terminal.
"""
