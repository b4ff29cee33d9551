//! Taking structures apart into the fields that are compared.

use anyhow::{Result, bail};

use crate::codes::{alg, cap, st};
use crate::crypto;
use crate::schema::{Field, Label};
use crate::wire::{In, hex};

/// One value of a command or response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Where it is, such as `quoted.attested.pcrDigest`.
    pub path: String,
    /// Its bytes, without a size field.
    pub bytes: Vec<u8>,
    /// How far it must agree.
    pub label: Label,
    /// Whether it is a byte string, which may hold what was derived from random values.
    pub blob: bool,
}

impl Leaf {
    /// For people.
    #[must_use]
    pub fn show(&self) -> String {
        format!("{} = {}", self.path, hex(&self.bytes))
    }
}

/// Takes `input` apart as these fields.
///
/// # Errors
/// It is not well-formed. What could be read is in `leaves`.
pub fn fields(fields: &[Field], input: &mut In<'_>, leaves: &mut Vec<Leaf>) -> Result<()> {
    let mut walker = Walker { input: *input, leaves };
    let result = fields
        .iter()
        .try_for_each(|field| walker.value(&field.kind, &field.name, field.label));
    *input = walker.input;
    result
}

struct Walker<'i, 'l> {
    input: In<'i>,
    leaves: &'l mut Vec<Leaf>,
}

impl Walker<'_, '_> {
    fn leaf(&mut self, path: &str, bytes: &[u8], label: Label, blob: bool) {
        let path = path.to_owned();
        self.leaves.push(Leaf {
            path,
            bytes: bytes.to_vec(),
            label,
            blob,
        });
    }

    fn number(&mut self, path: &str, size: usize) -> Result<u64> {
        self.number_as(path, size, Label::Same)
    }

    fn number_as(&mut self, path: &str, size: usize, label: Label) -> Result<u64> {
        let bytes = self.input.take(size)?;
        self.leaf(path, bytes, label, false);
        Ok(bytes.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    }

    fn count(&mut self, path: &str) -> Result<u64> {
        self.number(&format!("{path}.count"), 4)
    }

    fn b2(&mut self, path: &str, label: Label) -> Result<()> {
        let bytes = self.input.b2()?;
        self.leaf(path, bytes, label, true);
        Ok(())
    }

    /// A TPM2B around a structure.
    fn wrapped(&mut self, path: &str, inner: impl FnOnce(&mut Walker<'_, '_>) -> Result<()>) -> Result<()> {
        let bytes = self.input.b2()?;
        let mut walker = Walker {
            input: In(bytes),
            leaves: self.leaves,
        };
        inner(&mut walker)?;
        if !walker.input.0.is_empty() {
            bail!("{path}: {} bytes after its end", walker.input.0.len());
        }
        Ok(())
    }

    fn value(&mut self, kind: &str, path: &str, label: Label) -> Result<()> {
        match kind {
            "u8" => self.number_as(path, 1, label).map(drop),
            "u16" => self.number_as(path, 2, label).map(drop),
            "u32" | "handle" => self.number_as(path, 4, label).map(drop),
            "u64" => self.number_as(path, 8, label).map(drop),
            "b2" => self.b2(path, label),
            "rest" => {
                let bytes = self.input.take(self.input.0.len())?;
                self.leaf(path, bytes, label, true);
                Ok(())
            }
            "public" => self.wrapped(path, |inner| inner.public(path, label)),
            "sensitivecreate" => self.wrapped(path, |inner| {
                inner.b2(&format!("{path}.userAuth"), label)?;
                inner.b2(&format!("{path}.data"), label)
            }),
            "nvpublic" => self.wrapped(path, |inner| {
                inner.number(&format!("{path}.nvIndex"), 4)?;
                inner.number(&format!("{path}.nameAlg"), 2)?;
                inner.number(&format!("{path}.attributes"), 4)?;
                inner.b2(&format!("{path}.authPolicy"), Label::Same)?;
                inner.number(&format!("{path}.dataSize"), 2).map(drop)
            }),
            "point" => self.wrapped(path, |inner| {
                inner.b2(&format!("{path}.x"), label)?;
                inner.b2(&format!("{path}.y"), label)
            }),
            "creation" => self.wrapped(path, |inner| inner.creation(path)),
            "attest" => self.wrapped(path, |inner| inner.attest(path)),
            "pcrs" => self.pcrs(path),
            "sym" => self.symmetric(path),
            "scheme" => self.scheme(path),
            "sig" => self.signature(path, label),
            "ticket" => self.ticket(path),
            "hashes" => self.list(path, |inner, path| inner.hash(path, label)),
            "digests" => self.list(path, |inner, path| inner.b2(path, label)),
            "algs" => self.list(path, |inner, path| inner.number(path, 2).map(drop)),
            "ccs" => self.list(path, |inner, path| inner.number(path, 4).map(drop)),
            "parms" => {
                let kind = self.number(&format!("{path}.type"), 2)?;
                self.public_parameters(path, kind)
            }
            "context" => {
                self.number(&format!("{path}.sequence"), 8)?;
                self.number(&format!("{path}.savedHandle"), 4)?;
                self.number(&format!("{path}.hierarchy"), 4)?;
                self.b2(&format!("{path}.contextBlob"), Label::Free)
            }
            "timeinfo" => self.time_info(path),
            "ecc" => self.ecc_detail(path),
            "cap" => self.capability(path),
            _ => bail!("{path}: no type {kind}"),
        }
    }

    fn list(&mut self, path: &str, mut item: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        for index in 0..self.count(path)? {
            item(self, &format!("{path}[{index}]"))?;
        }
        Ok(())
    }

    fn hash(&mut self, path: &str, label: Label) -> Result<()> {
        let hash = self.number(&format!("{path}.hashAlg"), 2)?;
        if hash == u64::from(alg::NULL) {
            return Ok(());
        }
        let bytes = self.input.take(crypto::size(u16::try_from(hash)?)?)?;
        self.leaf(&format!("{path}.digest"), bytes, label, true);
        Ok(())
    }

    fn pcrs(&mut self, path: &str) -> Result<()> {
        self.list(path, |inner, path| {
            inner.number(&format!("{path}.hash"), 2)?;
            inner.select(path)
        })
    }

    fn select(&mut self, path: &str) -> Result<()> {
        let size = self.number(&format!("{path}.sizeofSelect"), 1)?;
        let select = self.input.take(usize::try_from(size)?)?;
        self.leaf(&format!("{path}.pcrSelect"), select, Label::Same, false);
        Ok(())
    }

    fn symmetric(&mut self, path: &str) -> Result<()> {
        match u16::try_from(self.number(&format!("{path}.algorithm"), 2)?)? {
            alg::NULL => Ok(()),
            alg::XOR => self.number(&format!("{path}.hashAlg"), 2).map(drop),
            _ => {
                self.number(&format!("{path}.keyBits"), 2)?;
                self.number(&format!("{path}.mode"), 2).map(drop)
            }
        }
    }

    /// TPMT_KEYEDHASH_SCHEME, TPMT_SIG_SCHEME, TPMT_RSA_DECRYPT, TPMT_KDF_SCHEME: the algorithms do not overlap.
    fn scheme(&mut self, path: &str) -> Result<()> {
        match u16::try_from(self.number(&format!("{path}.scheme"), 2)?)? {
            alg::NULL | alg::RSAES => Ok(()),
            alg::ECDAA | alg::XOR => {
                self.number(&format!("{path}.hashAlg"), 2)?;
                self.number(&format!("{path}.count"), 2).map(drop)
            }
            _ => self.number(&format!("{path}.hashAlg"), 2).map(drop),
        }
    }

    fn public(&mut self, path: &str, unique: Label) -> Result<()> {
        let kind = self.number(&format!("{path}.type"), 2)?;
        self.number(&format!("{path}.nameAlg"), 2)?;
        self.number(&format!("{path}.objectAttributes"), 4)?;
        self.b2(&format!("{path}.authPolicy"), Label::Same)?;
        self.public_parameters(path, kind)?;
        if u16::try_from(kind)? == alg::ECC {
            self.b2(&format!("{path}.unique.x"), unique)?;
            return self.b2(&format!("{path}.unique.y"), unique);
        }
        self.b2(&format!("{path}.unique"), unique)
    }

    fn public_parameters(&mut self, path: &str, kind: u64) -> Result<()> {
        let path = &format!("{path}.parameters");
        match u16::try_from(kind)? {
            alg::KEYEDHASH => self.scheme(path),
            alg::SYMCIPHER => self.symmetric(path),
            alg::RSA => {
                self.symmetric(&format!("{path}.symmetric"))?;
                self.scheme(path)?;
                self.number(&format!("{path}.keyBits"), 2)?;
                self.number(&format!("{path}.exponent"), 4).map(drop)
            }
            alg::ECC => {
                self.symmetric(&format!("{path}.symmetric"))?;
                self.scheme(path)?;
                self.number(&format!("{path}.curveID"), 2)?;
                self.scheme(&format!("{path}.kdf"))
            }
            kind => bail!("{path}: no object type {kind:#x}"),
        }
    }

    fn creation(&mut self, path: &str) -> Result<()> {
        self.pcrs(&format!("{path}.pcrSelect"))?;
        self.b2(&format!("{path}.pcrDigest"), Label::Same)?;
        self.number(&format!("{path}.locality"), 1)?;
        self.number(&format!("{path}.parentNameAlg"), 2)?;
        self.b2(&format!("{path}.parentName"), Label::Same)?;
        self.b2(&format!("{path}.parentQualifiedName"), Label::Same)?;
        self.b2(&format!("{path}.outsideInfo"), Label::Same)
    }

    fn ticket(&mut self, path: &str) -> Result<()> {
        self.number(&format!("{path}.tag"), 2)?;
        self.number(&format!("{path}.hierarchy"), 4)?;
        self.b2(&format!("{path}.digest"), Label::Random)
    }

    /// `label` is for what a key and a digest determine; it is random when the digest is over times.
    fn signature(&mut self, path: &str, label: Label) -> Result<()> {
        match u16::try_from(self.number(&format!("{path}.sigAlg"), 2)?)? {
            alg::NULL => Ok(()),
            alg::HMAC => self.hash(path, label),
            scheme @ (alg::RSASSA | alg::RSAPSS) => {
                self.number(&format!("{path}.hash"), 2)?;
                let label = if scheme == alg::RSASSA { label } else { Label::Random };
                self.b2(&format!("{path}.sig"), label)
            }
            _ => {
                self.number(&format!("{path}.hash"), 2)?;
                self.b2(&format!("{path}.signatureR"), Label::Random)?;
                self.b2(&format!("{path}.signatureS"), Label::Random)
            }
        }
    }

    fn clock_info(&mut self, path: &str) -> Result<()> {
        self.number_as(&format!("{path}.clock"), 8, Label::Free)?;
        // Obfuscated for signers outside the platform and endorsement hierarchies (Part 1, 36.7).
        self.number_as(&format!("{path}.resetCount"), 4, Label::Random)?;
        self.number_as(&format!("{path}.restartCount"), 4, Label::Random)?;
        self.number(&format!("{path}.safe"), 1).map(drop)
    }

    fn time_info(&mut self, path: &str) -> Result<()> {
        self.number_as(&format!("{path}.time"), 8, Label::Free)?;
        self.clock_info(path)
    }

    fn attest(&mut self, path: &str) -> Result<()> {
        self.number(&format!("{path}.magic"), 4)?;
        let kind = self.number(&format!("{path}.type"), 2)?;
        self.b2(&format!("{path}.qualifiedSigner"), Label::Same)?;
        self.b2(&format!("{path}.extraData"), Label::Same)?;
        self.clock_info(path)?;
        self.number_as(&format!("{path}.firmwareVersion"), 8, Label::Free)?;
        let path = &format!("{path}.attested");
        let blob = |name| format!("{path}.{name}");
        match u16::try_from(kind)? {
            st::ATTEST_NV => {
                self.b2(&blob("indexName"), Label::Same)?;
                self.number(&blob("offset"), 2)?;
                self.b2(&blob("nvContents"), Label::Same)
            }
            st::ATTEST_NV_DIGEST => {
                self.b2(&blob("indexName"), Label::Same)?;
                self.b2(&blob("nvDigest"), Label::Same)
            }
            // The digests are over commands and responses that have random bytes in them.
            st::ATTEST_COMMAND_AUDIT => {
                self.number(&blob("auditCounter"), 8)?;
                self.number(&blob("digestAlg"), 2)?;
                self.b2(&blob("auditDigest"), Label::Random)?;
                self.b2(&blob("commandDigest"), Label::Same)
            }
            st::ATTEST_SESSION_AUDIT => {
                self.number(&blob("exclusiveSession"), 1)?;
                self.b2(&blob("sessionDigest"), Label::Random)
            }
            st::ATTEST_CERTIFY => {
                self.b2(&blob("name"), Label::Same)?;
                self.b2(&blob("qualifiedName"), Label::Same)
            }
            st::ATTEST_QUOTE => {
                self.pcrs(&blob("pcrSelect"))?;
                self.b2(&blob("pcrDigest"), Label::Same)
            }
            st::ATTEST_TIME => {
                self.time_info(path)?;
                self.number_as(&blob("firmwareVersion"), 8, Label::Free).map(drop)
            }
            st::ATTEST_CREATION => {
                self.b2(&blob("objectName"), Label::Same)?;
                self.b2(&blob("creationHash"), Label::Same)
            }
            kind => bail!("{path}: no attestation {kind:#x}"),
        }
    }

    fn ecc_detail(&mut self, path: &str) -> Result<()> {
        self.number(&format!("{path}.curveID"), 2)?;
        self.number(&format!("{path}.keySize"), 2)?;
        self.scheme(&format!("{path}.kdf"))?;
        self.scheme(&format!("{path}.sign"))?;
        for name in ["p", "a", "b", "gX", "gY", "n", "h"] {
            self.b2(&format!("{path}.{name}"), Label::Same)?;
        }
        Ok(())
    }

    /// TPMS_CAPABILITY_DATA: entries are named by what they are about, so that lists can be compared as maps.
    fn capability(&mut self, path: &str) -> Result<()> {
        let capability = self.number(&format!("{path}.capability"), 4)?;
        let count = self.input.u32()?;
        for index in 0..count {
            match u32::try_from(capability)? {
                cap::ALGS => {
                    let id = self.input.u16()?;
                    self.number(&format!("alg.{id:#x}"), 4)?;
                }
                cap::COMMANDS => {
                    let attributes = self.input.u32()?;
                    let name = crate::schema::name(attributes & 0x2000_FFFF);
                    self.leaf(&format!("cc.{name}"), &attributes.to_be_bytes(), Label::Same, false);
                }
                cap::HANDLES | cap::PP_COMMANDS | cap::AUDIT_COMMANDS => {
                    let value = self.input.u32()?;
                    self.leaf(&format!("entry.{value:#x}"), &value.to_be_bytes(), Label::Same, false);
                }
                cap::PCRS => {
                    let path = format!("pcr.bank[{index}]");
                    self.number(&format!("{path}.hash"), 2)?;
                    self.select(&path)?;
                }
                cap::TPM_PROPERTIES => {
                    let property = self.input.u32()?;
                    self.number(&format!("pt.{property:#05x}"), 4)?;
                }
                cap::PCR_PROPERTIES => {
                    let property = self.input.u32()?;
                    self.select(&format!("pcrpt.{property:#x}"))?;
                }
                cap::ECC_CURVES => {
                    let curve = self.input.u16()?;
                    self.leaf(&format!("curve.{curve:#x}"), &curve.to_be_bytes(), Label::Same, false);
                }
                cap::AUTH_POLICIES => {
                    let handle = self.input.u32()?;
                    self.hash(&format!("policy.{handle:#x}"), Label::Same)?;
                }
                cap::ACT => {
                    let handle = self.input.u32()?;
                    self.number(&format!("act.{handle:#x}.timeout"), 4)?;
                    self.number(&format!("act.{handle:#x}.attributes"), 4)?;
                }
                other => bail!("{path}: no capability {other:#x}"),
            }
        }
        Ok(())
    }
}
