//! Tests of thinvol beyond its unit tests.
