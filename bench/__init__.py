"""Side by side with the real buildctl and buildx: `make bench`. Uses nothing but the standard library."""
