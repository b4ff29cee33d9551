//! Whose TPM it is: the name that the operator gave the virtual machine.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

/// The name of a virtual machine among all that its operator has, by which a copied state is told from the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstanceId(String);

/// What cannot be the name of an instance.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an instance is named by 1 to {max} letters, digits and any of . _ : -, as a UUID is", max = InstanceId::MAX)]
pub(crate) struct NoInstanceId;

impl InstanceId {
    /// The longest name.
    const MAX: usize = 128;

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceId {
    type Err = NoInstanceId;

    fn from_str(name: &str) -> Result<Self, NoInstanceId> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if name.is_empty() || name.len() > Self::MAX || !name.bytes().all(plain) {
            return Err(NoInstanceId);
        }
        Ok(Self(name.to_owned()))
    }
}

impl Display for InstanceId {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for name in ["a", "7f8d1c1e-0000-4c6b-9d1f-2f6b2c1d9c01", "i-0.a:b_c"] {
            assert_eq!(name.parse::<InstanceId>().unwrap().to_string(), name);
        }
        for name in ["", "a b", "a\n", "ä", "a\"", &"a".repeat(129)] {
            assert_eq!(name.parse::<InstanceId>(), Err(NoInstanceId), "{name:?}");
        }
    }
}
