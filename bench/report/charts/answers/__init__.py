"""Charts of what variants answer: the decision, right answers against size, and by subject."""
