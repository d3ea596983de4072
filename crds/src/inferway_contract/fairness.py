"""Fair shares of a total that several namespaces take together."""

from collections.abc import Iterable


def fair_level(demands: Iterable[int], total: int) -> int:
    """Return the highest level at which the demands, each cut to it, fit into the total (max-min fairness).

    A demand of at most `total / number of demands` is never cut.
    """
    ordered = sorted(demands)
    rest = total
    for number, demand in enumerate(ordered):
        share = rest // (len(ordered) - number)
        if demand > share:
            return share
        rest -= demand
    return ordered[-1] if ordered else 0
