"""`python -m ltfix`, which is also how torchrun starts it."""

from ltfix.cli import script

if __name__ == "__main__":
    script()
