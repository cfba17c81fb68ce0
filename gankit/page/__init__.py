"""Pages without a server: escaped HTML, line drawings, axes."""
