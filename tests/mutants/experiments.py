"""Mutants of the experiments and of what they measure."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

STATISTICS = "tryon/experiments/statistics.py"
TABLES = "tryon/experiments/tables.py"
PLAN = "tryon/experiments/plan.py"
SETTINGS = "tryon/experiments/settings.py"
DISTILLATION = "tryon/experiments/distillation.py"
MEASURES = "tryon/metrics/measures.py"
EVALUATION = "tryon/metrics/evaluation.py"
NOISE = "tryon/data/synthetic/noise.py"
OF_STATISTICS = "tests/tryon/experiments/test_statistics.py"
OF_TABLES = "tests/tryon/experiments/test_tables.py"
OF_DISTILLATION = "tests/tryon/experiments/test_distillation.py"
OF_METRICS = "tests/tryon/metrics/test_evaluation.py"
OF_NOISE = "tests/tryon/data/test_synthetic_scene.py"

MUTANTS = (
    Mutant(STATISTICS, "[(1 - CONFIDENCE) / 2,", "[1 - CONFIDENCE,", OF_STATISTICS),
    Mutant(STATISTICS, "default_rng(BOOTSTRAP_SEED)", "default_rng()", OF_STATISTICS),
    Mutant(STATISTICS, "differences.mean(axis=0), resamples", "differences.ravel(), resamples", OF_STATISTICS),
    Mutant(STATISTICS, "np.isfinite(differences)", "np.ones_like(differences, bool)", OF_STATISTICS),
    Mutant(TABLES, "(difference.mean > 0) == more_is_better", "(difference.mean > 0) != more_is_better", OF_TABLES),
    Mutant(TABLES, "if not difference.is_sure:", "if difference.is_sure:", OF_TABLES),
    Mutant(PLAN, "if not part.done()]", "]", f"{OF_DISTILLATION} -k done_again"),
    Mutant(SETTINGS, "if found.get(name) != wanted[name]", "if found.get(name) is None", OF_DISTILLATION),
    Mutant(DISTILLATION, "seed=seed,", "seed=0,", f"{OF_DISTILLATION} -k variant_says"),
    Mutant(
        DISTILLATION, "read_record(folder).step == steps", "read_record(folder).step", f"{OF_DISTILLATION} -k killed"
    ),
    Mutant(MEASURES, "10 * math.log10(", "20 * math.log10(", OF_METRICS),
    Mutant(MEASURES, "np.count_nonzero(mask | truth)", "np.count_nonzero(truth)", OF_METRICS),
    Mutant(EVALUATION, "(labels == own_labels) & ~np.isin(", "~np.isin(", OF_METRICS),
    Mutant(EVALUATION, "np.isin(labels, SKIN)", "np.isin(labels, SKIN[:2])", OF_METRICS),
    Mutant(NOISE, "(rng.random() < noise)", "(rng.random(5) < noise)", f"{OF_NOISE} -k regions"),
    Mutant(NOISE, "< reach), Label.FACE)", "> reach), Label.FACE)", f"{OF_NOISE} -k collar"),
)
