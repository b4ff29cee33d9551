//! What a state directory holds, without secrets.

use std::fmt::Write;
use std::path::Path;

use crate::store::Head;

pub(super) struct Info<'a> {
    pub(super) directory: &'a Path,
    /// With its edition.
    pub(super) profile: &'a str,
    pub(super) head: &'a Head,
    pub(super) encrypted: bool,
    pub(super) records: usize,
}

impl Info<'_> {
    fn number(&self) -> String {
        self.head.tpm.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn to_text(&self) -> String {
        let instance = self.head.instance.as_ref();
        format!(
            "directory   {}\ntpm         {}\nprofile     {}\ninstance    {}\nencrypted   {}\nanchored    {}\nmoved       {}\ngeneration  {}\nrecords     {}\n",
            self.directory.display(),
            self.number(),
            self.profile,
            instance.map_or("none", |instance| instance.as_str()),
            yes_or_no(self.encrypted),
            yes_or_no(self.head.anchored),
            yes_or_no(self.head.moved),
            self.head.generation,
            self.records
        )
    }

    pub(super) fn to_json(&self) -> String {
        // The names of instances need no escapes.
        let instance = self.head.instance.as_ref();
        format!(
            "{{\"directory\":{},\"tpm\":\"{}\",\"profile\":\"{}\",\"instance\":{},\"encrypted\":{},\"anchored\":{},\"moved\":{},\"generation\":{},\
             \"records\":{}}}\n",
            quoted(&self.directory.to_string_lossy()),
            self.number(),
            self.profile,
            instance.map_or("null".to_owned(), |instance| format!("\"{instance}\"")),
            self.encrypted,
            self.head.anchored,
            self.head.moved,
            self.head.generation,
            self.records
        )
    }
}

fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '.. => out.push(character),
            // Writing to a string does not fail.
            _ => drop(write!(out, "\\u{:04x}", u32::from(character))),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_escaped() {
        assert_eq!(quoted("a/\"b\\c\nä"), r#""a/\"b\\c\u000aä""#);
    }
}
