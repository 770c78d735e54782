"""The application, its middleware, and problem documents."""
