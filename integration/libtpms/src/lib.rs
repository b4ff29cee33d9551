//! Another TPM in this process, to measure ours beside it: libtpms as the distribution has it.
//!
//! The library is loaded when it is asked for, so that nothing has to be installed to build this. Its state is forgotten:
//! once the TPM runs, what it writes goes nowhere.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The file that Debian's `libtpms0` installs.
const LIBRARY: &CStr = c"libtpms.so.0";
/// TPMLIB_TPM_VERSION_2.
const VERSION_2: c_int = 1;
/// TPM_PERMANENT_ALL_NAME: what persists, the only state that a new TPM writes.
const PERMANENT: &CStr = c"permall";
/// TPM_FAIL.
const FAIL: u32 = 9;
/// TPM_RETRY: what the callback that reads state answers where there is none, so that a TPM is made.
const NO_STATE: u32 = 0x800;

/// Why there is no TPM.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library is not there.
    #[error("{library} cannot be loaded; install Debian's libtpms0", library = LIBRARY.to_string_lossy())]
    Missing,
    /// It is another one than we know.
    #[error("libtpms has no function {0}")]
    Function(&'static str),
    /// It has one TPM a process, which is in use.
    #[error("libtpms has one TPM in a process, and this process has it already")]
    InUse,
    /// A function failed.
    #[error("{0} of libtpms failed with {1:#x}")]
    Failed(&'static str, u32),
}

/// `struct libtpms_callbacks`.
#[repr(C)]
struct Callbacks {
    size: c_int,
    nvram_init: extern "C" fn() -> u32,
    nvram_load: extern "C" fn(*mut *mut u8, *mut u32, u32, *const c_char) -> u32,
    nvram_store: extern "C" fn(*const u8, u32, u32, *const c_char) -> u32,
    nvram_delete: extern "C" fn(u32, *const c_char, u8) -> u32,
    io_init: extern "C" fn() -> u32,
    io_locality: extern "C" fn(*mut u32, u32) -> u32,
    io_presence: extern "C" fn(*mut u8, u32) -> u32,
}

type Choose = unsafe extern "C" fn(c_int) -> u32;
type Register = unsafe extern "C" fn(*mut Callbacks) -> u32;
type Start = unsafe extern "C" fn() -> u32;
type Terminate = unsafe extern "C" fn();
type Process = unsafe extern "C" fn(*mut *mut u8, *mut u32, *mut u32, *mut u8, u32) -> u32;

extern "C" fn init() -> u32 {
    0
}

/// What was written last while a TPM is made: libtpms writes a new TPM, and then starts with what it reads. `None` when
/// the TPM runs, as nothing is read any more.
static STATE: Mutex<Option<Vec<u8>>> = Mutex::new(None);

extern "C" fn load(data: *mut *mut u8, len: *mut u32, _: u32, name: *const c_char) -> u32 {
    // SAFETY: libtpms passes a C string.
    if unsafe { CStr::from_ptr(name) } != PERMANENT {
        return NO_STATE;
    }
    let Ok(guard) = STATE.lock() else {
        return FAIL;
    };
    let state = match &*guard {
        Some(state) if !state.is_empty() => state,
        _ => return NO_STATE,
    };
    // SAFETY: libtpms passes the addresses of a pointer and of a length, and frees the memory, which is the C library's and
    // as large as what is copied there.
    unsafe {
        let copy = libc::malloc(state.len()).cast::<u8>();
        if copy.is_null() {
            return FAIL;
        }
        copy.copy_from_nonoverlapping(state.as_ptr(), state.len());
        data.write(copy);
        len.write(u32::try_from(state.len()).unwrap_or_default());
    }
    0
}

extern "C" fn store(data: *const u8, len: u32, _: u32, _: *const c_char) -> u32 {
    match STATE.lock().as_deref_mut() {
        Ok(Some(state)) => {
            state.clear();
            // SAFETY: libtpms says how many bytes there are.
            state.extend_from_slice(unsafe { std::slice::from_raw_parts(data, len as usize) });
            0
        }
        Ok(None) => 0,
        Err(_) => FAIL,
    }
}

extern "C" fn delete(_: u32, _: *const c_char, _: u8) -> u32 {
    0
}

extern "C" fn locality(locality: *mut u32, _: u32) -> u32 {
    // SAFETY: libtpms passes the address of the number that it wants to know.
    unsafe { locality.write(0) };
    0
}

extern "C" fn presence(presence: *mut u8, _: u32) -> u32 {
    // SAFETY: as above.
    unsafe { presence.write(0) };
    0
}

/// The function of that name.
///
/// # Safety
/// `library` is a library that stays loaded, and `F` is the type of its function.
unsafe fn symbol<F: Copy>(library: *mut c_void, name: &'static CStr) -> Result<F, Error> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the library is loaded, and the name is a C string.
    let symbol = unsafe { libc::dlsym(library, name.as_ptr()) };
    if symbol.is_null() {
        return Err(Error::Function(name.to_str().unwrap_or("?")));
    }
    // SAFETY: the caller says that the address is one of a function of this type.
    Ok(unsafe { std::mem::transmute_copy::<*mut c_void, F>(&symbol) })
}

static IN_USE: AtomicBool = AtomicBool::new(false);

/// Has what is written kept from now on, or not.
fn keep(state: Option<Vec<u8>>) {
    if let Ok(mut kept) = STATE.lock() {
        *kept = state;
    }
}

/// A TPM fresh from manufacture, after `_TPM_Init`. There is one at a time in a process, and it stays on one thread.
#[derive(Debug)]
pub struct Tpm {
    process: Process,
    terminate: Terminate,
    /// The last response, in memory of the C library's.
    response: *mut u8,
    len: u32,
    capacity: u32,
}

impl Tpm {
    /// Loads the library and makes a TPM.
    ///
    /// # Errors
    /// The library is missing or fails, or this process has a TPM of it already.
    pub fn new() -> Result<Self, Error> {
        if IN_USE.swap(true, Ordering::SeqCst) {
            return Err(Error::InUse);
        }
        keep(Some(Vec::new()));
        let made = Self::make();
        keep(None);
        made.inspect_err(|_| IN_USE.store(false, Ordering::SeqCst))
    }

    fn make() -> Result<Self, Error> {
        // SAFETY: the name is a C string. What runs when the library is loaded is the distribution's, as in any program
        // that is linked against it.
        let library = unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return Err(Error::Missing);
        }
        // SAFETY: the types are those of libtpms/tpm_library.h, which has not changed them since version 0.6.
        let (choose, register, start, terminate, process) = unsafe {
            (
                symbol::<Choose>(library, c"TPMLIB_ChooseTPMVersion")?,
                symbol::<Register>(library, c"TPMLIB_RegisterCallbacks")?,
                symbol::<Start>(library, c"TPMLIB_MainInit")?,
                symbol::<Terminate>(library, c"TPMLIB_Terminate")?,
                symbol::<Process>(library, c"TPMLIB_Process")?,
            )
        };
        let mut callbacks = Callbacks {
            size: c_int::try_from(size_of::<Callbacks>()).unwrap_or(c_int::MAX),
            nvram_init: init,
            nvram_load: load,
            nvram_store: store,
            nvram_delete: delete,
            io_init: init,
            io_locality: locality,
            io_presence: presence,
        };
        let check = |what, code| {
            if code == 0 {
                Ok(())
            } else {
                Err(Error::Failed(what, code))
            }
        };
        // SAFETY: the functions have the types above, are called in the order that the header asks for, and by one thread,
        // as only one `Tpm` is made at a time. The callbacks are copied.
        unsafe {
            check("TPMLIB_ChooseTPMVersion", choose(VERSION_2))?;
            check("TPMLIB_RegisterCallbacks", register(&raw mut callbacks))?;
            check("TPMLIB_MainInit", start())?;
        }
        Ok(Self {
            process,
            terminate,
            response: ptr::null_mut(),
            len: 0,
            capacity: 0,
        })
    }

    /// Runs a command; its response.
    ///
    /// # Errors
    /// The library fails, which is no response code.
    pub fn execute(&mut self, command: &mut [u8]) -> Result<&[u8], Error> {
        let len = u32::try_from(command.len()).unwrap_or(u32::MAX);
        // SAFETY: the command is as long as is said. Response, length and capacity are what the last call left: libtpms
        // makes the memory larger, with realloc, where it is too small.
        let code = unsafe {
            (self.process)(
                &raw mut self.response,
                &raw mut self.len,
                &raw mut self.capacity,
                command.as_mut_ptr(),
                len,
            )
        };
        if code != 0 || self.response.is_null() {
            return Err(Error::Failed("TPMLIB_Process", code));
        }
        // SAFETY: libtpms has written that many bytes, and they stay until the next call, which borrows `self` anew.
        Ok(unsafe { std::slice::from_raw_parts(self.response, self.len as usize) })
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        // SAFETY: the TPM was started by this thread: the raw pointer keeps the type from being sent to others. The memory
        // is the C library's, or null.
        unsafe {
            (self.terminate)();
            libc::free(self.response.cast());
        }
        IN_USE.store(false, Ordering::SeqCst);
    }
}
