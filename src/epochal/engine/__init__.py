"""Trains a population and observes it; knows no disk, no experiment, no plot."""
