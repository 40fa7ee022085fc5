"""What a model looks at over a whole corpus, and how two models differ."""
