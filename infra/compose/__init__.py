"""What docker-compose.yml needs beside itself: a first .env, and the check that it all works."""
