"""From the model to Docker's JSON. Pure: values in, plain dicts and lists out."""
