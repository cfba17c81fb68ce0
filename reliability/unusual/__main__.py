"""`python -m reliability.unusual`."""

from reliability.unusual.campaign import main

main()
