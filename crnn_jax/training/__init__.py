"""One loop trains every task; `steps` is the one module that uses pmap."""
