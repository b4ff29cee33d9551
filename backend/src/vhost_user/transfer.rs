//! Device state on its way through a descriptor of the monitor's (VHOST_USER_SET_DEVICE_STATE_FD).

use std::fs::File;
use std::io::{self, Read, Write};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

/// How long the other end may let the descriptor rest. One that stops for longer must not keep a thread for ever.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that a pipe takes without blocking once it takes any (PIPE_BUF).
const CHUNK: usize = 4096;
/// The largest state: that of the TPM, and that of the registers.
const MAX_STATE: usize = crate::device::MAX_PART_SIZE * 2;

/// A transfer in a thread of its own, as the monitor reads or writes the other end while it waits for nothing here.
pub(super) enum Transfer {
    /// To the monitor.
    Save(JoinHandle<io::Result<()>>),
    /// From the monitor; all bytes up to the end.
    Load(JoinHandle<io::Result<Zeroizing<Vec<u8>>>>),
}

impl Transfer {
    pub(super) fn save(state: Zeroizing<Vec<u8>>, file: File) -> io::Result<Self> {
        thread(move || write(file, &state)).map(Self::Save)
    }

    pub(super) fn load(file: File) -> io::Result<Self> {
        thread(move || read(file)).map(Self::Load)
    }

    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Save(thread) => thread.is_finished(),
            Self::Load(thread) => thread.is_finished(),
        }
    }
}

fn thread<T: Send + 'static>(
    run: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<JoinHandle<io::Result<T>>> {
    std::thread::Builder::new().name("device-state".to_owned()).spawn(run)
}

fn write(mut file: File, state: &[u8]) -> io::Result<()> {
    for chunk in state.chunks(CHUNK) {
        wait(&file, PollFlags::OUT)?;
        file.write_all(chunk)?;
    }
    Ok(())
}

fn read(mut file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    // Of its largest size from the start: growing would leave copies behind.
    let mut state = Zeroizing::new(vec![0; MAX_STATE]);
    let mut len = 0usize;
    loop {
        wait(&file, PollFlags::IN)?;
        let room = state.get_mut(len..).unwrap_or_default();
        if room.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the device state is larger than any can be",
            ));
        }
        match file.read(room)? {
            0 => break,
            count => len = len.saturating_add(count),
        }
    }
    state.truncate(len);
    Ok(state)
}

fn wait(file: &File, flags: PollFlags) -> io::Result<()> {
    let timeout = Timespec::try_from(PATIENCE).ok();
    match poll(&mut [PollFd::new(file, flags)], timeout.as_ref())? {
        0 => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the monitor does not go on with the device state",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_larger_than_a_pipe_goes_through_it() {
        let state: Vec<u8> = (0..300_000u32).map(|number| number as u8).collect();
        let (read, write) = io::pipe().unwrap();
        let file = |end: std::os::fd::OwnedFd| File::from(end);
        let Transfer::Save(save) = Transfer::save(Zeroizing::new(state.clone()), file(write.into())).unwrap() else {
            panic!("another transfer");
        };
        let Transfer::Load(load) = Transfer::load(file(read.into())).unwrap() else {
            panic!("another transfer");
        };
        save.join().unwrap().unwrap();
        assert!(**load.join().unwrap().unwrap() == state);
    }

    #[test]
    fn too_much_is_refused_and_a_closed_end_is_an_error() {
        let (read, mut write) = io::pipe().unwrap();
        let Transfer::Load(load) = Transfer::load(File::from(std::os::fd::OwnedFd::from(read))).unwrap() else {
            panic!("another transfer");
        };
        let _ = write.write_all(&vec![0; MAX_STATE + 1]);
        assert!(load.join().unwrap().is_err());
        let (read, write) = io::pipe().unwrap();
        drop(read);
        let end = File::from(std::os::fd::OwnedFd::from(write));
        let Transfer::Save(save) = Transfer::save(Zeroizing::new(vec![1; 10]), end).unwrap() else {
            panic!("another transfer");
        };
        assert!(save.join().unwrap().is_err());
    }
}
