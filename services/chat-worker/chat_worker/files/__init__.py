"""Files that the assistant made, kept with us: they expire at the provider within minutes."""
