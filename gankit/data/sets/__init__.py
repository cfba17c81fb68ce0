"""Named data sets: shipped, downloaded, made by a formula."""
