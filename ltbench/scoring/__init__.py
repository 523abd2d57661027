"""Scoring: samples to a tidy table of scores, with their floors."""
