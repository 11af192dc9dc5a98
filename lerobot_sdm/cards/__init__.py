"""Model cards of published policies, and the removal of private data from them."""
