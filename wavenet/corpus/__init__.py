"""Words in files and in memory. Needs neither torch nor Lightning."""
