"""Is it true? What a method names is put to the test, with figures that can be compared."""
