"""Solves one problem on several devices, with sharded weights, divided rows and neurons."""
