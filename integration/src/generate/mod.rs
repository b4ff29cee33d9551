//! Random command sequences, mostly valid, with a model of what the TPM holds.
//!
//! A sequence depends on its seed and on the TPM's answers only. Both sides run it by themselves; as long as they
//! answer alike, they are sent alike commands, though each with the keys, blobs and nonces of its own.

mod crypto_ops;
mod model;
mod object_ops;
mod session_ops;
mod state_ops;
mod structured;

use anyhow::Result;

use crate::build::{self, Auth, Call, Patch};
use crate::client::{Answer, Tpm};
use crate::codes::sa;
use crate::crypto::Rng;
use model::Model;

/// How many of these sequences' commands are sent to a TPM before a fresh one is taken.
pub const SEQUENCE: usize = 300;

/// A sequence in the making.
#[derive(Debug)]
pub struct Generator {
    rng: Rng,
    model: Model,
    sent: usize,
}

type Op = fn(&mut Generator, &mut Tpm) -> Result<()>;

/// What is done, and how often of the sum of all.
const OPS: &[(usize, Op)] = &[
    (14, Generator::structured),
    (6, Generator::object),
    (6, Generator::use_object),
    (3, Generator::attest),
    (2, Generator::external_key),
    (2, Generator::credential),
    (2, Generator::duplicate),
    (4, Generator::start_session),
    (6, Generator::assert_policy),
    (2, Generator::context),
    (6, Generator::index),
    (6, Generator::use_index),
    (3, Generator::pcr),
    (3, Generator::simple),
    (2, Generator::hierarchy),
    (2, Generator::sequence),
    (1, Generator::persist),
    (4, Generator::release),
];

/// The session that ends with a command that succeeds, if it is not to go on.
fn ends(auth: &Auth) -> Option<u32> {
    match auth {
        Auth::Session { handle, attributes, .. } if attributes & sa::CONTINUE == 0 => Some(*handle),
        _ => None,
    }
}

impl Generator {
    /// A sequence with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng(seed.wrapping_mul(0x2545_F491_4F6C_DD1D)),
            model: Model::default(),
            sent: 0,
        }
    }

    /// Sends about `count` commands.
    ///
    /// # Errors
    /// The TPM is gone, or answers what is no response.
    pub fn run(&mut self, tpm: &mut Tpm, count: usize) -> Result<()> {
        tpm.ok(build::startup(0))?;
        // What depends on time and is slow comes last: three failures would lock most of a sequence out.
        tpm.ok(build::dictionary_attack_parameters(
            crate::codes::rh::LOCKOUT,
            1000,
            1000,
            1000,
        ))?;
        // Which hash audits commands until one is chosen is the TPM's choice.
        let none = build::list32(&[]);
        tpm.ok(build::set_command_code_audit_status(
            crate::codes::rh::OWNER,
            crate::codes::alg::SHA384,
            &none,
            &none,
        ))?;
        let sum: usize = OPS.iter().map(|(weight, _)| weight).sum();
        while self.sent < count {
            let mut choice = self.rng.below(sum);
            let op = OPS.iter().find(|(weight, _)| {
                let found = choice < *weight;
                choice = choice.wrapping_sub(*weight);
                found
            });
            if let Some((_, op)) = op {
                op(self, tpm)?;
            }
            if self.rng.one_in(150) {
                self.restart(tpm)?;
            }
        }
        Ok(())
    }

    /// Sends a command, perhaps changed.
    fn send(&mut self, tpm: &mut Tpm, call: Call) -> Result<Answer> {
        self.sent += 1;
        let call = if self.rng.one_in(8) { self.mutate(call) } else { call };
        let ending: Vec<u32> = call.auths.iter().filter_map(ends).collect();
        let answer = tpm.run(call)?;
        if answer.rc == 0 {
            self.model.sessions.retain(|session| !ending.contains(&session.handle));
        }
        Ok(answer)
    }

    /// Changes a command in one or two places.
    fn mutate(&mut self, mut call: Call) -> Call {
        let handles = call.handles.len();
        let mut length = call.params.len();
        if call.code == 0x161 {
            // What a context looks like is the TPM's choice, but for what stands before the blob and its size.
            length = length.min(16);
        }
        let size = 10 + handles * 4 + length;
        match self.rng.below(10) {
            // Not the tag, the size and the code: scenarios have those.
            0 | 1 => {
                // Nonces and HMACs are random: what comes of a change to them is not the same on both sides.
                let random = call.auths.iter().any(|auth| matches!(auth, Auth::Session { .. }));
                let end = if random { handles * 4 } else { size - 10 };
                let position = 10 + self.rng.below(end.max(1));
                call.patch(Patch::Flip(position, 1 << self.rng.below(8)))
            }
            2 | 3 => {
                // In the parameters, before the HMAC is computed: it must not hide what comes after.
                let position = self.rng.below(length.max(1));
                let bits = 1 << self.rng.below(8);
                if let Some(byte) = call.params.get_mut(position) {
                    *byte ^= bits;
                }
                call
            }
            4 => call.patch(Patch::Cut(10 + self.rng.below(size - 9))),
            5 => {
                let extra = 1 + self.rng.below(4);
                call.patch(Patch::Append(self.rng.clone().bytes(extra)))
            }
            6 => {
                let length = self.rng.below(length + 1);
                call.params.truncate(length);
                call
            }
            7 => {
                let position = self.rng.below(handles.max(1));
                let handle = self.any_handle();
                if let Some(slot) = call.handles.get_mut(position) {
                    *slot = handle;
                }
                call
            }
            8 => {
                let position = self.rng.below(call.auths.len().max(1));
                let attributes = 1u8 << self.rng.below(8);
                if let Some(Auth::Session { attributes: slot, .. }) = call.auths.get_mut(position) {
                    *slot ^= attributes;
                }
                call
            }
            _ => match self.rng.below(3) {
                0 => call.bare(),
                1 => {
                    call.auths.pop();
                    call
                }
                _ => {
                    let auth = Auth::password(b"");
                    call.auths.push(auth);
                    call
                }
            },
        }
    }

    /// Authorizes the handle at `position`, whose authValue is `value`.
    fn authorize(&mut self, call: Call, position: usize, value: &[u8]) -> Call {
        match self.rng.below(20) {
            0 => call.auth(position, Auth::password(b"wrong")),
            1..10 => call.auth(position, Auth::password(value)),
            choice => {
                let Some(session) = self.pick_session(choice >= 18) else {
                    return call.auth(position, Auth::password(value));
                };
                let mut attributes = if self.rng.one_in(8) { 0 } else { sa::CONTINUE };
                if session.cipher && self.rng.one_in(3) {
                    attributes |= self
                        .rng
                        .pick(&[sa::DECRYPT, sa::ENCRYPT, sa::DECRYPT | sa::ENCRYPT])
                        .unwrap_or(0);
                }
                if self.rng.one_in(8) {
                    attributes |= sa::AUDIT;
                }
                call.auth(position, Auth::session(session.handle, attributes, value))
            }
        }
    }

    /// Perhaps adds a session that encrypts or audits.
    fn accompany(&mut self, mut call: Call) -> Call {
        if !self.rng.one_in(6) {
            return call;
        }
        let Some(session) = self.pick_session(false) else {
            return call;
        };
        let used = |auth: &Auth| matches!(auth, Auth::Session { handle, .. } if *handle == session.handle);
        if call.auths.iter().any(used) {
            return call;
        }
        let choices = [
            sa::AUDIT,
            sa::DECRYPT,
            sa::ENCRYPT,
            sa::DECRYPT | sa::ENCRYPT,
            sa::AUDIT | sa::AUDIT_RESET,
        ];
        let attributes = sa::CONTINUE | self.rng.pick(&choices).unwrap_or(0);
        call.auths.push(Auth::session(session.handle, attributes, &[]));
        call
    }

    /// Cuts the power, with or without a shut-down before.
    fn restart(&mut self, tpm: &mut Tpm) -> Result<()> {
        let (shutdown, startup) = self.rng.pick(&[(0, 0), (1, 0), (1, 1), (2, 0)]).unwrap_or((0, 0));
        if shutdown < 2 {
            tpm.run(build::shutdown(shutdown))?;
        }
        tpm.power_cycle()?;
        let answer = tpm.run(build::startup(startup))?;
        if answer.rc != 0 {
            tpm.run(build::startup(0))?;
        }
        self.model.forget_volatile(startup == 1 && answer.rc == 0);
        self.sent += 3;
        Ok(())
    }
}
