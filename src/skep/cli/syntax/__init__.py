"""Docker's mini-languages, a pure function each: text in, value out, or `Invalid` with a reason."""
