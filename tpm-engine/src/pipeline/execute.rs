//! The life of a command (Part 1, 18.10; Part 3, 5): parse, authorize, decrypt, act, commit, answer.

use std::sync::atomic::Ordering;

use arrayvec::ArrayVec;
use zeroize::Zeroizing;

use super::{Call, HEADER_SIZE, tag};
use crate::alg::HashAlg;
use crate::bytes::{Bytes, Digest};
use crate::commands::{CommandInfo, Flag};
use crate::crypto::hash::hash;
use crate::marshal::{Marshal, Reader, Writer};
use crate::rc::{Rc, RcResult};
use crate::tpm::{Locality, MAX_COMMAND_SIZE, Phase, ResponseBuffer, Tpm};
use crate::types::attributes::SessionAttributes;

impl Tpm {
    /// Runs one command and writes its response; never fails, as every error is a response code.
    pub fn execute(&mut self, locality: Locality, command: &[u8], response: &mut ResponseBuffer) {
        self.current.locality = locality;
        self.current.unaudited = false;
        self.current.flush_after = None;
        let result = self.run(command, response.buffer());
        // Whatever a failed command had staged is undone: nothing has changed.
        self.nv.roll_back();
        match result {
            Ok(len) => response.set_len(len),
            Err(code) => {
                let mut writer = Writer::new(response.buffer());
                let tag = if code == Rc::BAD_TAG {
                    tag::RSP_COMMAND
                } else {
                    tag::NO_SESSIONS
                };
                tag.marshal(&mut writer);
                10u32.marshal(&mut writer);
                code.get().marshal(&mut writer);
                response.set_len(HEADER_SIZE);
            }
        }
    }

    fn run(&mut self, command: &[u8], out: &mut [u8]) -> RcResult<usize> {
        if self.nv.volatile.is_some() {
            // What was stored for another process is void as soon as this one goes on.
            self.nv.change().volatile = None;
            self.nv.commit()?;
        }
        if self.phase == Phase::Started {
            self.pass_time()?;
        }
        let mut reader = Reader::new(command, self.profile);
        let mut call = Call::new(self.parse_header(&mut reader)?);
        self.parse(reader, &mut call)?;
        if !self.keys_tested && !call.info.has(Flag::WithoutKeys) {
            self.test_keys()?;
        }
        self.authorize(&call)?;
        let (len, handle) = self.act(&call, out)?;
        self.void_shutdown();
        self.nv.commit()?;
        let len = self.respond(&call, handle, len, out)?;
        if let Some(sequence) = self.current.flush_after.take() {
            self.objects.remove(sequence);
        }
        // What the response itself changed, for example the command audit, is durable before the answer leaves.
        self.nv.commit()?;
        Ok(len)
    }

    /// Decrypts the first parameter if a session asks for it, and runs the command's action. The reply is written
    /// behind the room for the header, the handle and the parameter size.
    fn act(&mut self, call: &Call<'_>, out: &mut [u8]) -> RcResult<(usize, Option<crate::handle::Handle>)> {
        let reply = out.get_mut(reply_offset(call)..).ok_or(Rc::FAILURE)?;
        let mut writer = Writer::new(reply);
        let handle = match call.session_with(SessionAttributes::DECRYPT) {
            None => (call.info.run)(self, &call.handles, call.params, &mut writer)?,
            Some(index) => {
                let plain = Bytes::<MAX_COMMAND_SIZE>::new(call.params).ok_or(Rc::SIZE)?;
                let mut plain = Zeroizing::new(plain);
                let number = u32::try_from(index).unwrap_or_default().saturating_add(1);
                let data = first_sized(&mut plain).map_err(|code| code.session(number))?;
                self.decrypt_parameter(call, index, data)?;
                (call.info.run)(self, &call.handles, &plain, &mut writer)?
            }
        };
        let len = writer.finish().ok_or(Rc::FAILURE)?;
        Ok((len, handle))
    }

    /// Lets time pass for the clock, for dictionary-attack self-healing and for the clock's NV copy.
    fn pass_time(&mut self) -> RcResult<()> {
        if self.timer.advance(self.platform_clock.as_mut()) == 0 {
            return Ok(());
        }
        self.heal_dictionary_attack();
        if self.timer.clock >= self.timer.renew_at {
            // From here on the clock cannot run into what an earlier, lost session reported (Part 1, 36.3.3).
            self.timer.safe = true;
            self.record_clock(false);
        } else if self.nv.clock.exact {
            // Time goes on after an orderly stop that was announced.
            self.record_clock(false);
        }
        self.nv.commit()
    }

    /// A change of what TPM2_Shutdown saved makes that shutdown void (Part 3, 9.4).
    pub(crate) fn void_shutdown(&mut self) {
        let changed = [
            self.reset.take_changed(),
            self.clear.take_changed(),
            self.pcrs.take_changed(),
            self.orderly_nv.take_changed(),
            self.countdowns.take_changed(),
        ];
        if self.nv.saved.is_some() && changed.contains(&true) {
            self.nv.change().saved = None;
        }
    }

    /// Whether the command needs physical presence when the platform authorizes it (Part 3, 26.2).
    pub(crate) fn needs_presence(&self, info: &CommandInfo) -> bool {
        info.has(Flag::Presence) || self.nv.management.presence.has(info.code)
    }

    /// Whether physical presence is asserted by the host.
    pub(crate) fn physical_presence(&self) -> bool {
        self.presence.load(Ordering::Relaxed)
    }
}

/// Where the reply's parameters begin in the response.
pub(super) fn reply_offset(call: &Call<'_>) -> usize {
    let handle = if call.info.response_handle { 4 } else { 0 };
    let size = if call.has_sessions { 4 } else { 0 };
    HEADER_SIZE.saturating_add(handle).saturating_add(size)
}

/// cpHash (Part 1, 18.7): what a session's HMAC and audit say was commanded.
pub(super) fn command_hash(alg: HashAlg, call: &Call<'_>) -> Digest {
    let code = call.info.code.to_be_bytes();
    let mut parts = ArrayVec::<&[u8], 5>::from_iter([code.as_slice()]);
    parts.extend(call.names.iter().map(|name| &**name));
    parts.push(call.params);
    hash(alg, &parts)
}

/// The contents of the sized buffer that a parameter area begins with: what sessions encrypt.
pub(super) fn first_sized(params: &mut [u8]) -> RcResult<&mut [u8]> {
    let (size, rest) = params.split_first_chunk_mut::<2>().ok_or(Rc::INSUFFICIENT)?;
    rest.get_mut(..usize::from(u16::from_be_bytes(*size))).ok_or(Rc::SIZE)
}
