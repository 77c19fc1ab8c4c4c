"""Training: where skorch meets crystals."""
