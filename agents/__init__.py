"""One file per agent: subscribe, call `ml` and `sinks`, acknowledge."""
