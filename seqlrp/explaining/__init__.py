"""From texts to explanations: questions are prepared, put to a method in batches, and answered."""
