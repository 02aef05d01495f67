"""Training and pruning of ONE network; ``ensemble`` adds members."""
