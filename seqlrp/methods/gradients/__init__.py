"""Methods that take gradients."""
