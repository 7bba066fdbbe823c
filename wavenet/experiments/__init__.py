"""Experiments: trainings compared over seeds, the lecture's story, searches, and honest reports of them."""
