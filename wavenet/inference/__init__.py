"""What a trained network does. Needs torch, not Lightning."""
