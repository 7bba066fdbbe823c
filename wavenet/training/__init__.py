"""How a network is trained. The only room that imports Lightning."""
