"""The agents: a sub-package for each. They call `ml` and `sinks`; `streams` runs them."""
