"""Progress: one pure fold over status updates, drawn for a terminal, plain text, JSON or not at all."""
