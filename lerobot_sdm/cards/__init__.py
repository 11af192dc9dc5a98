"""What a published policy says about itself, and what it must not say. Stands on nothing else of this package."""
