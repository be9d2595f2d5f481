"""Intent: YAML files become checked records that carry SI units."""
