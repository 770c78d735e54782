"""One router for each resource that is about people: who is enrolled, who is not, mistakes."""
