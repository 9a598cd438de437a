"""The training loop of every stage: recipe, epochs, optimizer, checkpoints, several GPUs."""
