"""Trains and evaluates a language model of words: ``python train.py fit``; ``python train.py --help`` says more."""

from wavenet.commands.main import main

if __name__ == "__main__":
    main()
