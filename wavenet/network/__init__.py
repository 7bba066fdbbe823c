"""The network and the three ways of running it. Needs torch and the vocabulary alone."""
