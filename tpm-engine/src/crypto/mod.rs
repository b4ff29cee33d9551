//! Cryptography: thin, typed doors to the crates that do the work (Part 1, 11.4).
