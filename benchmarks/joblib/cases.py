"""The cases, in the order of the report: calls of joblib's own, and scikit-learn on top of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from benchmarks.contract import MICROSECONDS, Case, NotOffered, Unit
from benchmarks.joblib.rivals import Backend

try:
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, cross_val_score
except ModuleNotFoundError:
    make_classification = None

MIB = 1 << 20
MILLISECONDS = Unit("ms a call", 1e3)


def square(x: int) -> int:
    return x * x


def small(rival: Backend, n: int) -> float:
    """Calls with two tasks that do next to nothing."""
    start = perf_counter()
    for _ in range(n):
        expect(Parallel(n_jobs=rival.workers)(delayed(square)(x) for x in (1, 2)), [1, 4])
    return (perf_counter() - start) / n


def many(rival: Backend, n: int) -> float:
    """One call with many such tasks."""
    start = perf_counter()
    found = Parallel(n_jobs=rival.workers)(delayed(square)(x) for x in range(n))
    taken = perf_counter() - start
    expect(found, [x * x for x in range(n)])
    return taken / n


def array(rival: Backend, n: int) -> float:
    """One call whose tasks all have the same array."""
    given = np.ones(32 * MIB // 8)
    start = perf_counter()
    found = Parallel(n_jobs=rival.workers)(delayed(np.sum)(given) for _ in range(n))
    taken = perf_counter() - start
    expect(map(float, found), [float(given.size)] * n)
    return taken / n


def expect(found: Iterable[Any], wanted: list[Any]) -> None:
    """Raise ValueError unless the results are those wanted."""
    results = list(found)
    if results != wanted:
        raise ValueError(f"wrong results: {results[:3]} for {wanted[:3]}")


def grid_search(workers: int) -> float:
    """24 fits of a model that takes some milliseconds."""
    X, y = make_classification(n_samples=2000, n_features=20, random_state=0)
    choices = {"C": [0.001, 0.01, 0.1, 1.0, 10.0, 100.0]}
    search = GridSearchCV(LogisticRegression(), choices, cv=4, n_jobs=workers)
    return float(search.fit(X, y).best_score_)


def random_forest(workers: int) -> float:
    """40 trees over 3 MiB, which they share."""
    X, y = make_classification(n_samples=20_000, n_features=20, random_state=0)
    forest = RandomForestClassifier(40, max_depth=6, n_jobs=workers, random_state=0)
    return float(forest.fit(X, y).score(X, y))


def cross_validation(workers: int) -> float:
    """8 fits of a small forest."""
    X, y = make_classification(n_samples=2000, n_features=20, random_state=0)
    model = RandomForestClassifier(10, random_state=0)
    return float(cross_val_score(model, X, y, cv=8, n_jobs=workers).mean())


_scores: dict[str, float] = {}


def _fits(title: str, fit: Callable[[int], float]) -> Case:
    def run(rival: Backend, n: int) -> float:
        if make_classification is None:
            raise NotOffered
        start = perf_counter()
        scores = [fit(rival.workers) for _ in range(n)]
        taken = perf_counter() - start
        expect(scores, [_scores.setdefault(title, scores[0])] * n)
        return taken / n

    return Case(title, 5, run, MILLISECONDS, pilot=1)


CASES = {
    "small": Case("a call with two tiny tasks", 200, small, MICROSECONDS),
    "many": Case("a call with many tiny tasks", 20_000, many, MICROSECONDS, pilot=2000),
    "array": Case("an array of 32 MiB for each task, the same", 32, array, MICROSECONDS, pilot=4),
    "grid_search": _fits("GridSearchCV, 24 fits", grid_search),
    "random_forest": _fits("RandomForestClassifier, 40 trees", random_forest),
    "cross_validation": _fits("cross_val_score, 8 fits", cross_validation),
}
