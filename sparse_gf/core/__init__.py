"""What every other room stands on: types, trees, random streams, errors, words."""
