"""MLPClassifier, MLPRegressor."""

from harness.manifest import Backend

BACKEND = Backend(
    "sklearn",
    "backends.sklearn.trainer:SklearnTrainer",
    requires=("sklearn",),
    install="pip install scikit-learn",
    description="MLPClassifier, MLPRegressor",
    conventions="backends.sklearn.conventions:CONVENTIONS",
)
