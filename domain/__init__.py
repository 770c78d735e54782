"""What the system talks about: events, failures, identifiers, decisions. Knows nothing of ours."""
