"""seqlrp where people work: one module for each neighbour, which imports it and nothing else.

`spacy`: a pipeline component. `datasets`: a function for `Dataset.map`. `sklearn`: a classifier as
an estimator. `tokenizers`: fast tokenizers of Hugging Face. `keras` and `weights`: recurrent layers
made of other people's arrays, checked against what these answered.
"""
