"""Physics of one device: time, memory, energy, radio and battery as pure functions of plain numbers."""
