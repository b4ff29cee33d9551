//! The registers of a locality's page whose bits mean something, as types: each knows where it is (PTP 6.5.3).

use bitflags::{Flags, bitflags};

use crate::layout;

/// A register of 32 bits, once in each locality's page.
pub trait Register: Flags<Bits = u32> + Copy {
    /// Where it is in the page.
    const OFFSET: u64;
}

macro_rules! registers {
    ($(
        $(#[$about:meta])*
        $name:ident at $offset:path {
            $($(#[doc = $meaning:literal])* $field:ident = $bits:expr;)*
        }
    )*) => {$(
        bitflags! {
            $(#[$about])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
            pub struct $name: u32 {
                $($(#[doc = $meaning])* const $field = $bits;)*
            }
        }

        impl Register for $name {
            const OFFSET: u64 = $offset;
        }
    )*};
}

registers! {
    /// TPM_LOC_STATE: who has the TPM. The same in every locality.
    LocState at layout::LOC_STATE {
        /// tpmEstablished: CLEAR once a D-RTM sequence has ended.
        ESTABLISHED = 1;
        /// locAssigned.
        ASSIGNED = 1 << 1;
        /// All bits of activeLocality.
        ACTIVE = 7 << ACTIVE_SHIFT;
        /// tpmRegValidSts: the other bits are valid. Always SET.
        VALID = 1 << 7;
    }

    /// TPM_LOC_CTRL: requests of a locality; reads 0.
    LocCtrl at layout::LOC_CTRL {
        /// requestAccess; of locality 4: TPM_HASH_START.
        REQUEST_ACCESS = 1;
        /// relinquish; of locality 4: TPM_HASH_DATA.
        RELINQUISH = 1 << 1;
        /// seize; of locality 4: TPM_HASH_END.
        SEIZE = 1 << 2;
        /// resetEstablishmentBit, from localities 3 and 4.
        RESET_ESTABLISHMENT = 1 << 3;
        /// TPM_HASH_START, in the register of locality 4.
        HASH_START = 1;
        /// TPM_HASH_DATA, in the register of locality 4.
        HASH_DATA = 1 << 1;
        /// TPM_HASH_END, in the register of locality 4.
        HASH_END = 1 << 2;
        /// All three.
        HASH_STEPS = 7;
    }

    /// TPM_LOC_STS: a locality's own status.
    LocSts at layout::LOC_STS {
        /// Granted.
        GRANTED = 1;
        /// beenSeized.
        BEEN_SEIZED = 1 << 1;
    }

    /// TPM_CRB_INTF_ID, its low half: capabilities.
    IntfId at layout::INTF_ID {
        /// InterfaceType: CRB.
        TYPE_CRB = 1;
        /// InterfaceVersion: CRB.
        VERSION_CRB = 1 << 4;
        /// CapLocality: five localities, not just locality 0.
        FIVE_LOCALITIES = 1 << 8;
        /// CapCRBIdleBypass: after a command the next may follow without goIdle and cmdReady.
        IDLE_BYPASS = 1 << 9;
        /// CapCRBChunk: commands and responses larger than the data buffer go in chunks (PTP 1.07).
        CHUNK = 1 << 10;
        /// CapDataXferSizeSupport: 64 bytes.
        XFER_64 = 3 << 11;
        /// CapCRB.
        CAP_CRB = 1 << 14;
        /// InterfaceSelector: CRB.
        SELECTOR_CRB = 1 << 17;
    }

    /// TPM_CRB_CTRL_REQ; reads 0, as every request is carried out at once.
    CtrlReq at layout::CTRL_REQ {
        /// cmdReady.
        CMD_READY = 1;
        /// goIdle.
        GO_IDLE = 1 << 1;
    }

    /// TPM_CRB_CTRL_STS.
    CtrlSts at layout::CTRL_STS {
        /// tpmSts: a fatal error. Never set: a command that is lost with the TPM process is answered with TPM_RC_FAILURE, and
        /// the next one may succeed.
        ERROR = 1;
        /// tpmIdle.
        IDLE = 1 << 1;
    }

    /// TPM_CRB_CTRL_CANCEL.
    CtrlCancel at layout::CTRL_CANCEL {
        /// Cancel.
        CANCEL = 1;
    }

    /// TPM_CRB_CTRL_START. SET only in the page of the locality whose command is being executed.
    CtrlStart at layout::CTRL_START {
        /// Start.
        START = 1;
        /// crbRspRetry.
        RSP_RETRY = 1 << 1;
        /// nextChunk.
        NEXT_CHUNK = 1 << 2;
    }

    /// TPM_CRB_INT_ENABLE.
    IntEnable at layout::INT_ENABLE {
        /// startInt: a command has been executed.
        START = 1;
        /// cmdReadyInt: the interface is ready for a command.
        CMD_READY = 1 << 1;
        /// establishmentClearInt.
        ESTABLISHMENT_CLEAR = 1 << 2;
        /// localityChangeInt.
        LOCALITY_CHANGE = 1 << 3;
        /// nextChunkClearedInt.
        NEXT_CHUNK_CLEARED = 1 << 4;
        /// globalInterruptEnable.
        GLOBAL = 1 << 31;
    }

    /// TPM_CRB_INT_STS: interrupts that the guest has not cleared, by the bits of [`IntEnable`].
    IntSts at layout::INT_STS {
        /// startInt.
        START = IntEnable::START.bits();
        /// cmdReadyInt.
        CMD_READY = IntEnable::CMD_READY.bits();
        /// establishmentClearInt.
        ESTABLISHMENT_CLEAR = IntEnable::ESTABLISHMENT_CLEAR.bits();
        /// localityChangeInt.
        LOCALITY_CHANGE = IntEnable::LOCALITY_CHANGE.bits();
        /// nextChunkClearedInt.
        NEXT_CHUNK_CLEARED = IntEnable::NEXT_CHUNK_CLEARED.bits();
    }
}

/// The lowest bit of activeLocality.
const ACTIVE_SHIFT: u32 = 2;

impl LocState {
    /// The locality that has the TPM.
    #[must_use]
    pub const fn active(self) -> Option<u8> {
        match self.contains(Self::ASSIGNED) {
            true => Some((self.intersection(Self::ACTIVE).bits() >> ACTIVE_SHIFT) as u8),
            false => None,
        }
    }

    /// The same with the TPM given to a locality, or to none.
    #[must_use]
    pub const fn given_to(self, locality: Option<u8>) -> Self {
        let free = self.difference(Self::ASSIGNED.union(Self::ACTIVE));
        match locality {
            Some(locality) => {
                let active = Self::from_bits_retain((locality as u32) << ACTIVE_SHIFT).intersection(Self::ACTIVE);
                free.union(Self::ASSIGNED).union(active)
            }
            None => free,
        }
    }
}

impl IntEnable {
    /// Those of some interrupts that the guest wants.
    #[must_use]
    pub const fn wanted(self, of: IntSts) -> IntSts {
        match self.contains(Self::GLOBAL) {
            true => of.intersection(IntSts::from_bits_retain(self.bits())),
            false => IntSts::empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_active_locality_is_one_of_five_or_none() {
        let kept = LocState::VALID | LocState::ESTABLISHED;
        for locality in 0..5 {
            let state = kept.given_to(Some(3)).given_to(Some(locality));
            assert_eq!(state.active(), Some(locality));
            assert!(state.contains(kept));
            assert_eq!(state.given_to(None), kept);
        }
        assert_eq!(kept.active(), None);
    }

    #[test]
    fn no_interrupt_is_wanted_unless_any_is() {
        let all = IntSts::all();
        let some = IntEnable::START | IntEnable::LOCALITY_CHANGE;
        assert_eq!(some.wanted(all), IntSts::empty());
        assert_eq!(
            (some | IntEnable::GLOBAL).wanted(all),
            IntSts::START | IntSts::LOCALITY_CHANGE
        );
    }
}
