"""A mail store run through the judgement, and summed up."""
