"""Privacy: what a mechanism releases, and the accountants that say what it costs."""
