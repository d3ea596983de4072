"""A model of connections' lives: random events on both sides, and what must hold after every end."""
