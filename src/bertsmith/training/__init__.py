"""The loop, its optimizers and schedule, and what a run writes down."""
