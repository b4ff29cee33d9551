//! What tests of commands share: a TPM in memory, and commands as bytes.

pub(crate) mod keys;
pub(crate) mod session;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::platform::{Change, Clock, Entropy, EntropyError, NvStore, Platform, Record, StoreError};
use crate::profile::ProfileName;
use crate::tpm::{Locality, Manufacture, ResponseBuffer, Tpm};

/// Durable memory that outlives a TPM, and that can be made to fail.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    pub(crate) records: Arc<Mutex<BTreeMap<Vec<u8>, Vec<u8>>>>,
    pub(crate) broken: Arc<AtomicBool>,
    pub(crate) commits: Arc<AtomicU64>,
}

impl NvStore for Memory {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        Ok(self.records.lock().unwrap().clone().into_iter().collect())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(StoreError("broken on purpose".to_owned()));
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        let mut records = self.records.lock().unwrap();
        for change in changes {
            match change {
                Change::Put { key, value } => records.insert(key.clone(), value.clone()),
                Change::Delete { key } => records.remove(key),
            };
        }
        Ok(())
    }
}

/// Bytes that look random and are the same in every run.
struct Counting(u64);

impl Entropy for Counting {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        for byte in out {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *byte = (self.0 >> 56) as u8;
        }
        Ok(())
    }
}

/// A clock that tests set.
#[derive(Clone, Default)]
pub(crate) struct ManualClock(pub(crate) Arc<AtomicU64>);

impl Clock for ManualClock {
    fn now_ms(&mut self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A TPM with its surroundings.
pub(crate) struct Bench {
    pub(crate) tpm: Tpm,
    pub(crate) memory: Memory,
    pub(crate) clock: ManualClock,
    pub(crate) cancel: Arc<AtomicBool>,
    pub(crate) presence: Arc<AtomicBool>,
    response: ResponseBuffer,
    /// How many nonces the sessions of [`session`] have used.
    nonces: u64,
}

impl Bench {
    /// A TPM fresh from manufacture, after TPM2_Startup(CLEAR).
    pub(crate) fn started() -> Self {
        let mut bench = Self::unstarted();
        bench.run_ok("8001 0000000c 00000144 0000");
        bench
    }

    /// A TPM fresh from manufacture, after `_TPM_Init`.
    pub(crate) fn unstarted() -> Self {
        Self::on(Memory::default())
    }

    /// A TPM fresh from manufacture under a profile, after `_TPM_Init`.
    pub(crate) fn made(profile: ProfileName) -> Self {
        Self::with_profile(Memory::default(), profile)
    }

    /// A TPM on this memory: made there if it is empty, loaded otherwise; after `_TPM_Init`.
    pub(crate) fn on(memory: Memory) -> Self {
        Self::with_profile(memory, ProfileName::Default)
    }

    fn with_profile(memory: Memory, profile: ProfileName) -> Self {
        let empty = memory.records.lock().unwrap().is_empty();
        let mut bench = Self::with(memory, 1, |platform| {
            if empty {
                Tpm::manufacture(platform, &Manufacture { profile }).unwrap()
            } else {
                Tpm::load(platform).unwrap()
            }
        });
        bench.tpm.power_on();
        bench
    }

    /// A TPM that `make` makes on a platform of tests, whose entropy begins with this number.
    pub(crate) fn with(memory: Memory, entropy: u64, make: impl FnOnce(Platform) -> Tpm) -> Self {
        let (clock, cancel, presence) = (ManualClock::default(), Arc::default(), Arc::default());
        let tpm = make(Platform {
            entropy: Box::new(Counting(entropy)),
            clock: Box::new(clock.clone()),
            store: Box::new(memory.clone()),
            cancel: Arc::clone(&cancel),
            physical_presence: Arc::clone(&presence),
        });
        Self {
            tpm,
            memory,
            clock,
            cancel,
            presence,
            response: ResponseBuffer::default(),
            nonces: 0,
        }
    }

    /// Lets milliseconds pass.
    pub(crate) fn pass(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    /// How many times the TPM has written to its durable memory.
    pub(crate) fn commits(&self) -> u64 {
        self.memory.commits.load(Ordering::Relaxed)
    }

    /// Sends a command from locality 0; returns the response code and the whole response.
    pub(crate) fn run(&mut self, command: &[u8]) -> (u32, Vec<u8>) {
        self.run_at(0, command)
    }

    /// Sends a command from a locality.
    pub(crate) fn run_at(&mut self, locality: u8, command: &[u8]) -> (u32, Vec<u8>) {
        self.tpm
            .execute(Locality::new(locality).unwrap(), command, &mut self.response);
        let response = self.response.as_slice().to_vec();
        let size = u32::from_be_bytes(response[2..6].try_into().unwrap());
        assert_eq!(size as usize, response.len(), "the response's size field");
        (u32::from_be_bytes(response[6..10].try_into().unwrap()), response)
    }

    /// Sends a command in annotated hex and returns its response code.
    pub(crate) fn code(&mut self, command: &str) -> u32 {
        self.run(&hex(command)).0
    }

    /// Sends a command in annotated hex that must succeed; returns what follows the response header.
    pub(crate) fn run_ok(&mut self, command: &str) -> Vec<u8> {
        let (code, response) = self.run(&hex(command));
        assert_eq!(code, 0, "response code {code:#x} for {command}");
        response[10..].to_vec()
    }
}

/// Bytes from hex; white space is for the reader.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A command without sessions: the size is filled in.
pub(crate) fn plain(code: u32, body: &[u8]) -> Vec<u8> {
    command(0x8001, code, &[], &[], body)
}

/// A command whose handles are authorized with these passwords, in order.
pub(crate) fn with_passwords(code: u32, handles: &[u32], passwords: &[&[u8]], params: &[u8]) -> Vec<u8> {
    let mut area = Vec::new();
    for password in passwords {
        area.extend_from_slice(&0x4000_0009u32.to_be_bytes());
        area.extend_from_slice(&[0, 0, 0]);
        area.extend_from_slice(&(password.len() as u16).to_be_bytes());
        area.extend_from_slice(password);
    }
    command(0x8002, code, handles, &area, params)
}

/// A command from its parts; the authorization area's size is put before it when the tag is TPM_ST_SESSIONS.
pub(crate) fn command(tag: u16, code: u32, handles: &[u32], area: &[u8], params: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for handle in handles {
        body.extend_from_slice(&handle.to_be_bytes());
    }
    if tag == 0x8002 {
        body.extend_from_slice(&(area.len() as u32).to_be_bytes());
        body.extend_from_slice(area);
    }
    body.extend_from_slice(params);
    let mut out = tag.to_be_bytes().to_vec();
    out.extend_from_slice(&(body.len() as u32 + 10).to_be_bytes());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&body);
    out
}
