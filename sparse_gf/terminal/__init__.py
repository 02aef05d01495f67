"""What a person at a terminal sees: flags, help, progress, tables."""
