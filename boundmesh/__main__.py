"""`python -m boundmesh`, the form in which torchrun starts a rank."""

from boundmesh.cli import main

if __name__ == "__main__":
    main()
