"""A head back into its model, and the model out in a form that others load without ltfix."""
