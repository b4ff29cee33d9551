//! What every command and its response look like.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Whether a handle needs an authorization session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Never.
    None,
    /// Always.
    Needed,
    /// Always, though TPM_RH_NULL is a value of the handle and needs an empty password.
    NullToo,
}

/// How far two TPMs must agree on a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// To the byte, unless the command itself differed by what the TPMs had answered before.
    Same,
    /// The size.
    Random,
    /// Only that it is well-formed.
    Free,
}

/// A field of the parameters.
#[derive(Debug, Clone)]
pub struct Field {
    /// As Part 3 calls it.
    pub name: String,
    /// A type that [`crate::walk`] knows.
    pub kind: String,
    /// How far it must agree.
    pub label: Label,
}

/// One command.
#[derive(Debug, Clone)]
pub struct Schema {
    /// TPM_CC.
    pub code: u32,
    /// Without `TPM2_`.
    pub name: String,
    /// Names of the handles and what they need.
    pub handles: Vec<(String, Auth)>,
    /// The command's parameters.
    pub params: Vec<Field>,
    /// Whether the response has a handle.
    pub reply_handle: Option<String>,
    /// The response's parameters.
    pub reply: Vec<Field>,
}

impl Schema {
    /// How many handles need authorization.
    #[must_use]
    pub fn authorized(&self) -> usize {
        self.handles.iter().filter(|(_, auth)| *auth != Auth::None).count()
    }
}

static TABLE: LazyLock<BTreeMap<u32, Schema>> = LazyLock::new(|| {
    let lines = include_str!("schema.tsv").lines();
    lines.filter_map(parse).map(|schema| (schema.code, schema)).collect()
});

fn parse(line: &str) -> Option<Schema> {
    let mut columns = line.split('\t');
    let code = u32::from_str_radix(columns.next()?, 16).ok()?;
    let name = columns.next()?.to_owned();
    let handles = columns.next()?.split_whitespace().map(handle).collect();
    let params = columns.next()?.split_whitespace().filter_map(field).collect();
    let reply = columns.next()?;
    let reply_handle = reply.split_whitespace().find_map(|word| word.strip_prefix('>'));
    Some(Schema {
        code,
        name,
        handles,
        params,
        reply_handle: reply_handle.map(str::to_owned),
        reply: reply.split_whitespace().filter_map(field).collect(),
    })
}

fn handle(word: &str) -> (String, Auth) {
    let auth = match word.as_bytes() {
        [b'@', ..] => Auth::Needed,
        [b'%', ..] => Auth::NullToo,
        _ => Auth::None,
    };
    (word.trim_start_matches(['@', '%']).to_owned(), auth)
}

fn field(word: &str) -> Option<Field> {
    let (name, kind) = word.split_once(':')?;
    let label = match kind.as_bytes() {
        [.., b'!'] => Label::Random,
        [.., b'~'] => Label::Free,
        _ => Label::Same,
    };
    Some(Field {
        name: name.to_owned(),
        kind: kind.trim_end_matches(['!', '~']).to_owned(),
        label,
    })
}

/// The command with this code.
#[must_use]
pub fn find(code: u32) -> Option<&'static Schema> {
    TABLE.get(&code)
}

/// The command with this name, without `TPM2_`.
#[must_use]
pub fn named(name: &str) -> Option<&'static Schema> {
    all().find(|schema| schema.name == name)
}

/// All commands, by code.
pub fn all() -> impl Iterator<Item = &'static Schema> {
    TABLE.values()
}

/// A command's name, or its code.
#[must_use]
pub fn name(code: u32) -> String {
    find(code).map_or_else(|| format!("{code:#x}"), |schema| schema.name.clone())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_line_is_a_command() {
        let lines = include_str!("schema.tsv").lines().filter(|line| !line.starts_with('#'));
        assert_eq!(lines.count(), super::all().count());
        assert_eq!(super::all().count(), 123);
        assert_eq!(super::named("NV_Read").unwrap().handles.len(), 2);
    }
}
