"""scikit-learn on the backend: what it finds is what it finds on loky, to the last bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.scripts import script_environment

LIMIT = 600
"""Seconds after which it counts as hung: the fits are quick, but each process imports much."""

pytestmark = [pytest.mark.scale, pytest.mark.watchdog(LIMIT)]

# In a program of its own: loky's workers, files and semaphores outlive a test.
PROGRAM = """
import json
import sys
import joblib
import numpy as np
import procession
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler



def grid(X, y):
    model = make_pipeline(StandardScaler(), LogisticRegression())
    search = GridSearchCV(model, {"logisticregression__C": [0.01, 1.0, 100.0]}, cv=3, n_jobs=2)
    search.fit(X, y)
    return [search.best_params_, search.best_score_, *search.cv_results_["mean_test_score"]]


def forest(X, y):
    model = RandomForestClassifier(12, n_jobs=2, random_state=0).fit(X, y)
    return [*model.predict_proba(X[:200])[:, 0], *model.feature_importances_]


def scores(X, y):
    return [*cross_val_score(RandomForestClassifier(5, random_state=1), X, y, cv=4, n_jobs=2)]


def predictions(X, y):
    return [int(x) for x in cross_val_predict(LogisticRegression(), X, y, cv=3, n_jobs=2)]


def run(backend, data):
    with joblib.parallel_config(backend=backend):
        return [find(*data) for find in (grid, forest, scores, predictions)]


# The larger one has more than joblib's megabyte: its array is shared.
DATA = [
    make_classification(n_samples=rows, n_features=20, random_state=0) for rows in (400, 7000)
]
here, there = ([run(backend, data) for data in DATA] for backend in ("procession", "loky"))
print(json.dumps([[len(part) for part in parts] for parts in here]))
print(json.dumps(here == there))
"""


def test_results_are_those_of_loky(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")],
        env=script_environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sizes, same = map(json.loads, done.stdout.splitlines())
    assert sizes == [[5, 220, 4, 400], [5, 220, 4, 7000]]
    assert same is True
