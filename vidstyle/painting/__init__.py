"""What vidstyle exists for: the features, the objective, the optimiser, and how a frame starts from the ones before."""
