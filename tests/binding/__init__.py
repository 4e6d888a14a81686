"""The binding's own: memory, its private views, waiting for room, plain pickle that gives up."""
