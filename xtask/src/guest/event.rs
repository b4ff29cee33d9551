//! What a guest tells the host: see `integration/guest/scenarios/steps.sh`.

use anyhow::{Context, Result, bail};

/// One line of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The guest is up; the kernel's release.
    Boot(String),
    Step(String),
    Note(String),
    Ok(String),
    Failed(String),
    File {
        name: String,
        content: Vec<u8>,
    },
    Reboot,
    Kill,
    Save,
    Migrate,
    Done,
}

impl Event {
    /// Reads a line of the guest's second serial port. The firmware writes there too: what is not ours is `None`.
    pub(super) fn parse(line: &str) -> Result<Option<Self>> {
        let Some((_, line)) = line.split_once("@@") else {
            return Ok(None);
        };
        let line = line.trim_end();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let text = rest.trim().to_owned();
        Ok(Some(match word {
            "boot" => Self::Boot(text),
            "step" => Self::Step(text),
            "note" => Self::Note(text),
            "ok" => Self::Ok(text),
            "failed" => Self::Failed(text),
            "file" => {
                let (name, digits) = text.split_once(' ').unwrap_or((&text, ""));
                let content = hex(digits).with_context(|| format!("the guest's file {name}"))?;
                Self::File {
                    name: name.to_owned(),
                    content,
                }
            }
            "reboot" => Self::Reboot,
            "kill" => Self::Kill,
            "save" => Self::Save,
            "migrate" => Self::Migrate,
            "done" => Self::Done,
            _ => bail!("the guest says what nobody understands: @@{line}"),
        }))
    }
}

fn hex(digits: &str) -> Result<Vec<u8>> {
    let digits: Vec<u32> = digits
        .chars()
        .map(|digit| digit.to_digit(16))
        .collect::<Option<_>>()
        .context("not hex")?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high * 16 + low).context("not hex"),
        _ => bail!("half a byte"),
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_scenario_are_read() {
        let read = |line| Event::parse(line).unwrap();
        assert_eq!(read("\x1b[2J@@boot 6.1.0"), Some(Event::Boot("6.1.0".into())));
        assert_eq!(read("@@ok two words\r"), Some(Event::Ok("two words".into())));
        let content = vec![0x00, 0xAB];
        assert_eq!(
            read("@@file a.bin 00ab"),
            Some(Event::File {
                name: "a.bin".into(),
                content
            })
        );
        assert_eq!(read("BdsDxe: starting"), None);
        assert!(Event::parse("@@surprise").is_err());
        assert!(Event::parse("@@file a.bin 00a").is_err());
    }
}
