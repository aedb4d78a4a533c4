"""`python -m ltfix`, which is also how torchrun starts it."""

from ltfix.cli import main

if __name__ == "__main__":
    main()
