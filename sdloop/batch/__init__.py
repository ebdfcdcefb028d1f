"""Batches: plan many pictures, find the finished ones, and make the rest.

Torch is only imported when the first picture is made: a finished plan ends without it.
"""
