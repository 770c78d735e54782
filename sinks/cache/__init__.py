"""Redis: recent matches, answers to uploads, request rates. All of it can be lost."""
