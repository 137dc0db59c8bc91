"""Users chat while everything around them breaks, by a plan that is made from one number."""
