//! What tests of the daemon share.

use std::path::PathBuf;

/// The daemon, which the build of the workspace leaves beside the tests.
pub(crate) fn daemon() -> PathBuf {
    let mut folder = std::env::current_exe().expect("a test knows its own program");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let program = folder.join("vhost-device-tpm");
    assert!(
        program.is_file(),
        "build the daemon first: cargo build -p vhost-device-tpm"
    );
    program
}
