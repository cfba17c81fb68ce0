"""Campaigns of accidents: kills, failing disks, damaged files, leaks. Long; run by hand or at night."""
