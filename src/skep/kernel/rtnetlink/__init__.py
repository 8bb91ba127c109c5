"""Our own small rtnetlink: requests packed with struct, many to a send, answers as model values.

One module per kind of thing. Each turns model values into `Request`s and the kernel's messages
into model values; only ``socket`` touches a socket. IPv4 only.
"""
