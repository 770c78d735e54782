"""Real servers out of pip packages, for the demo, the tests and a first try.

`infra.embedded.stack.EmbeddedStack` is the way in. One file per server, all under the lifecycle of
`Server`. Nothing is imported here: the guard process stays small that way.
"""
