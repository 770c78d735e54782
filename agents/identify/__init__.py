"""The identify agent: faces in; who they are, stored and published."""
