"""Named data sets: shipped, downloaded or synthetic."""
