"""Training: batches, the one trainer, and the network that it trains."""
