//! Control of dictionary-attack protection (Part 3, 25). The protection itself is in [`crate::dictionary_attack`].

pub(crate) mod lock_reset;
pub(crate) mod parameters;

#[cfg(test)]
mod tests;
