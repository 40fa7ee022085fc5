"""Models, texts and explanations that several tests share."""
