"""Names and e-mail addresses of users: what is one, how it is written and compared."""
