"""Where packets really go, where they are lost and why, and what is wrong with a host. Pure."""
