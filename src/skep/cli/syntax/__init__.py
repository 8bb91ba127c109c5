"""Docker's mini-languages, one pure function each: text in, value out, `Invalid` with the reason."""
