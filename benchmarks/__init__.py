"""Time and check every operation against what stock torch offers: `pytest benchmarks`."""
