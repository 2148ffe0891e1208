"""`python -m chatapp_tail`."""

from chatapp_tail.cli import main

if __name__ == "__main__":
    main()
