//! The random number generator (Part 3, 16).

pub(crate) mod get_random;
pub(crate) mod stir_random;
