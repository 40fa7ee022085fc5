"""Methods that remove words and run the model again."""
