"""What each family of torch functions does to γ, and to what is known of its values.

Every law takes the run, the function as the model spelled it, and its arguments, and returns what
the model goes on with. Whatever is linear and adds nothing is left to automatic differentiation;
the laws only decide what is a constant, where the ε-rule is due, and what the ledger hears.
"""
