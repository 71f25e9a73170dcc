"""Mutation testing of the decisions that keep a run from being complete and wrong: `make mutants`.

A mutant is a module with one small change. The unit tests of the module must fail on it; a mutant on which they pass
is a survivor, and shows a decision that no test holds. `survivors.toml` lists the survivors that may stay, with
reasons. `run.py` fails on every other one, and on an entry whose mutant does not survive any more.
"""
