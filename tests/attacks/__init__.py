"""Red tests of a review: each shows a way to break a promise. They fail until the design is changed."""
