"""What the doctor looks at, a module per subject: each check reads a scene and yields findings."""
