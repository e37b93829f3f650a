"""MLPClassifier, MLPRegressor."""

from harness.manifest import Backend

BACKEND = Backend(
    "sklearn",
    "backends.sklearn.trainer:SklearnTrainer",
    requires=("sklearn",),
    install="pip install scikit-learn",
    description="MLPClassifier, MLPRegressor",
    lines="backends.sklearn.lines:SklearnLines",
    conventions="backends.sklearn.conventions:CONVENTIONS",
    by_default=True,
    colour="#E69F00",
)
