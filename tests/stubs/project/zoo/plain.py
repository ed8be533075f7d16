"""A module without models: its inline types are all it needs."""


def double(x: int) -> int:
    return 2 * x
