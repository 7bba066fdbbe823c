"""What happens beside the training steps: one file for each callback."""
